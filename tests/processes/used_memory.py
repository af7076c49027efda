"""Memory as a program leaves it: what reads it before writing it is found."""

import torch


def fill_memory_with_nan() -> None:
    """Leave NaN in the blocks that are allocated next."""
    for power in range(8, 22):
        torch.full((2**power,), float("nan"))
