"""Which tensors of a file are the backbone's, and under which names."""
