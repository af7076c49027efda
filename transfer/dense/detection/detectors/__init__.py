"""Detectors: how each is configured from settings and a backbone. One module with an entry adds one."""
