"""Checkpoint formats: how each names a backbone's tensors, and what it holds beside them."""
