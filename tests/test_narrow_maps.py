"""Gradients of kernels wider than their maps, in bfloat16 on the CPU."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn
from used_memory import fill_memory_with_nan

from mmbench.narrow_maps import float32_where_narrow, is_narrow
from mmbench.resnets import FilteredConv2d, HighPassFilter

NARROW: list[dict[str, Any]] = [  # each was wrong with torch 2.15.0 on a CPU with bfloat16
    {"kernel_size": 3, "stride": 2, "padding": 1, "maps": (8, 32, 1, 1)},
    {"kernel_size": 3, "stride": 2, "padding": 1, "maps": (8, 32, 7, 1)},
    {"kernel_size": 3, "stride": 3, "padding": 1, "maps": (8, 32, 2, 2)},
    {"kernel_size": 5, "stride": 1, "padding": 2, "maps": (8, 32, 1, 7)},
    {"kernel_size": 7, "stride": 1, "padding": 3, "maps": (8, 32, 2, 2)},
    {"kernel_size": 7, "stride": 2, "padding": 3, "maps": (8, 32, 1, 1)},
    {"kernel_size": 3, "stride": 2, "padding": 1, "groups": 32, "maps": (8, 32, 1, 1)},
    {"kernel_size": 3, "stride": 2, "padding": 1, "transposed": True, "maps": (8, 32, 1, 1)},
    {"kernel_size": 1, "stride": 2, "maps": (2, 3, 1, 1)},
]


def gradient(convolution: nn.Module, maps: Tensor, shares: Tensor) -> Tensor:
    """Return the weights' gradient of the weighted sum of the outputs."""
    convolution.zero_grad()
    (convolution(maps) * shares).sum().backward()
    weights = convolution.weight
    assert isinstance(weights, Tensor) and weights.grad is not None
    return weights.grad.double()


def errors(convolution: nn.Module, maps: Tensor, computed_in: torch.dtype) -> list[float]:
    """Return the relative errors of five gradients under bfloat16's autocast, over float64's."""
    exact = copy.deepcopy(convolution).double()
    shares = torch.randn_like(exact(maps.double())).to(computed_in)
    expected = gradient(exact, maps.double(), shares.double())
    float32_where_narrow(convolution)
    found = []
    for _ in range(5):
        fill_memory_with_nan()
        with torch.autocast("cpu", torch.bfloat16):
            assert convolution(maps).dtype == computed_in
            found.append(gradient(convolution, maps, shares))
    return [float((one - expected).abs().max() / expected.abs().max()) for one in found]


@pytest.mark.parametrize("case", NARROW, ids=lambda case: "-".join(f"{k}{v}" for k, v in case.items()))
def test_a_kernel_wider_than_its_map_has_the_gradient_of_float64(case: dict[str, Any]) -> None:
    sizes = dict(case)
    kind = nn.ConvTranspose2d if sizes.pop("transposed", False) else nn.Conv2d
    torch.manual_seed(0)
    maps = torch.randn(sizes.pop("maps"))
    convolution = kind(maps.shape[1], 64, **sizes)
    assert all(error < 1e-5 for error in errors(convolution, maps, torch.float32))


@pytest.mark.parametrize("shape", [(8, 32, 1, 1), (8, 32, 1, 7), (2, 3, 7, 1), (64, 256, 1, 1)], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, None])
def test_usual_kernels_are_right_in_bfloat16(shape: tuple[int, ...], stride: int, groups: int | None) -> None:
    torch.manual_seed(0)
    batch, channels, *sides = shape
    maps = torch.randn(batch, channels, *(max(side, stride) for side in sides)).bfloat16().float()
    convolution = nn.Conv2d(channels, channels, 3, stride, 1, groups=groups or channels, bias=False)
    convolution.weight.data = convolution.weight.data.bfloat16().float()
    assert all(error < 0.01 for error in errors(convolution, maps, torch.bfloat16))


@pytest.mark.parametrize("transposed", [False, True])
@given(
    width=st.integers(1, 12),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 5),
    padding=st.integers(0, 4),
    step=st.integers(1, 3),
)
def test_each_column_that_meets_only_padding_is_found(
    width: int, kernel: int, stride: int, padding: int, step: int, transposed: bool
) -> None:
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    convolution = kind(1, 1, (1, kernel), (1, stride), (0, padding), dilation=(1, step), bias=False).double()
    reach = step * (kernel - 1) + 1
    assume((width - 1) * stride - 2 * padding + reach > 0 if transposed else width + 2 * padding >= reach)
    found = gradient(convolution, torch.ones(1, 1, 1, width, dtype=torch.float64), torch.ones(()))
    usual = not transposed and kernel == 3 and step == padding == 1 and stride <= 2
    if bool((found == 0).any()) and not (usual and width >= stride):
        assert is_narrow(convolution, 1, width)
    elif not transposed and width >= kernel * step + stride:
        assert not is_narrow(convolution, 1, width)


@pytest.mark.parametrize(
    ("sizes", "side", "expected"),
    [
        ({"kernel_size": 3, "stride": 2, "padding": 1}, (1, 1), torch.float32),
        ({"kernel_size": 3, "stride": 2, "padding": 1}, (2, 1), torch.float32),
        ({"kernel_size": 3, "stride": 2, "padding": 1}, (2, 2), torch.bfloat16),
        ({"kernel_size": 3, "padding": 1}, (1, 1), torch.bfloat16),
        ({"kernel_size": 3}, (3, 3), torch.bfloat16),
        ({"kernel_size": 5, "padding": 2}, (1, 7), torch.float32),
        ({"kernel_size": 5, "padding": 2}, (7, 1), torch.float32),
        ({"kernel_size": 5, "padding": 2}, (5, 5), torch.bfloat16),
        ({"kernel_size": (3, 1), "padding": (1, 0)}, (3, 1), torch.bfloat16),
        ({"kernel_size": 1, "stride": 2}, (1, 1), torch.float32),
        ({"kernel_size": 1}, (1, 1), torch.bfloat16),
        ({"kernel_size": 3, "padding": "same"}, (2, 2), torch.float32),
        ({"kernel_size": 3, "padding": "same"}, (3, 3), torch.bfloat16),
        ({"kernel_size": 3, "padding": 2, "dilation": 2}, (4, 4), torch.float32),
    ],
    ids=str,
)
def test_float32_is_used_where_it_has_to_be(
    sizes: dict[str, Any], side: tuple[int, int], expected: torch.dtype
) -> None:
    network = nn.Sequential(nn.Conv2d(4, 8, **sizes))
    float32_where_narrow(network)
    maps = torch.randn(2, 4, *side)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(maps).dtype == expected
        assert copy.deepcopy(network)(maps).dtype == expected
    assert network(maps).dtype == torch.float32


def test_the_rest_of_a_network_stays_as_it_is() -> None:
    torch.manual_seed(0)
    filtered = FilteredConv2d(HighPassFilter(3, 1.0), 3, 8, 3, stride=2, padding=1)
    network = nn.Sequential(filtered, nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))
    before, kinds = copy.deepcopy(network), [type(module) for module in network]
    float32_where_narrow(network)
    changed = type(network[0])
    float32_where_narrow(network)
    assert type(network[0]) is changed and changed.__name__ == "FilteredConv2d"
    assert isinstance(network[0], FilteredConv2d)
    assert [type(module) for module in network][1:] == kinds[1:]
    assert list(network.state_dict()) == list(before.state_dict())
    images = torch.randn(2, 3, 16, 16)
    for wanted in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=wanted):
            assert torch.equal(network(images), before(images))
