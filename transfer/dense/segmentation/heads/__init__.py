"""Heads of segmentors; each module registers one."""
