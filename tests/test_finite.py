"""Weights that are no longer numbers are found wherever they hide."""

import math

import pytest
import torch
from torch import Tensor, nn

from mmbench.finite import OutputWatch, first_not_finite


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_one_entry_is_enough(bad: float, dtype: torch.dtype) -> None:
    tensors = {name: torch.ones(3, 4, dtype=dtype) for name in "abc"}
    assert first_not_finite(tensors) is None
    tensors["b"][2, 1] = bad
    assert first_not_finite(tensors) == "b"


def test_integers_and_empty_tensors_are_finite() -> None:
    assert first_not_finite({"steps": torch.tensor(3), "none": torch.empty(0)}) is None
    assert first_not_finite({}) is None


class Pair(nn.Module):
    """Returns what a detector's heads do: lists of tensors."""

    def forward(self, scale: Tensor) -> tuple[Tensor, list[Tensor]]:
        return torch.ones(2), [torch.zeros(3), torch.ones(2) * scale]


def test_outputs_are_watched_inside_the_block_only() -> None:
    module = Pair()
    with OutputWatch(module) as watch:
        module(torch.tensor(1.0))
    assert not watch.met
    module(torch.tensor(math.nan))
    assert not watch.met
    for bad in (math.nan, math.inf):
        with OutputWatch(module) as watch:
            module(torch.tensor(bad))
            module(torch.tensor(1.0))
        assert watch.met
