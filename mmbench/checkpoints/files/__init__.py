"""Checkpoint files opened safely: tensors and plain containers, never code."""
