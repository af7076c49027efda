"""How an OpenMMLab configuration builds a ResNet, and whether a network here strides and dilates like it.

`strides` and `dilations` change no shape. A block of OpenMMLab's has one dilation, that of its stage; mmseg's
`contract_dilation` halves it in the first block, as timm's `output_stride` does, and its `multi_grid` gives
every block of the last stage its own. Sources: mmseg/models/backbones/resnet.py, models/utils/res_layer.py.
A `deep_stem` and an `avg_down` change names of tensors, so that such networks are told by these.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mmbench.checkpoints.networks.options import ARCH_OPTIONS
from mmbench.checkpoints.networks.pooling import network_on_meta

STRIDES, DILATIONS = (1, 2, 2, 2), (1, 1, 1, 1)
GEOMETRY = ("strides", "dilations", "contract_dilation", "multi_grid")
KNOWN_TYPES = ("ResNet", "ResNeXt")  # whose settings have the values above where they are left out
USUAL_EPSILON = 1e-5
USUAL_CONVOLUTIONS = ("Conv", "Conv2d")
# (Stage from 0, block) -> stride of the block, dilations of its first two convolutions.
Blocks = dict[tuple[int, int], tuple[int, int, int]]


def geometry_in_words(settings: Mapping[str, Any]) -> str:
    """Return what a backbone's settings say of strides and dilations, as Python source; "" for nothing."""
    found = {name: settings[name] for name in GEOMETRY if settings.get(name) not in (None, False)}
    return ", ".join(
        f"{name}={tuple(value) if isinstance(value, list) else value}" for name, value in found.items()
    )


def output_stride_of(settings: Mapping[str, Any], arch: str) -> int | None:
    """Return with which `output_stride` the architecture strides and dilates like these settings.

    None where it does with none, or where it is no ResNet of timm's kind.
    """
    for output_stride in sorted(map(int, ARCH_OPTIONS["output_stride"]), reverse=True):
        blocks = _blocks(arch, output_stride)
        if blocks and _as_configured(settings, blocks, has_bottlenecks(arch)) == blocks:
            return output_stride
    return None


def nearest_output_stride(settings: Mapping[str, Any]) -> str:
    """Return the values of `output_stride` to choose from: the one that the settings have, or all."""
    strides = _numbers(settings.get("strides", STRIDES))
    total = 4 * math.prod(strides) if strides else 0
    return str(total) if total in ARCH_OPTIONS["output_stride"] else "8, 16 or 32"


def is_residual(arch: str) -> bool:
    """Return whether timm's architecture is one of its ResNet class."""
    from timm.models.resnet import ResNet

    return isinstance(network_on_meta(arch), ResNet)


def unlike_ours(settings: Mapping[str, Any]) -> str:
    """Return what builds another network with the same names and shapes, as Python source; "" for nothing."""
    convolution, norm = settings.get("conv_cfg"), settings.get("norm_cfg")
    kind = convolution.get("type") if isinstance(convolution, dict) else None
    if kind is not None and str(kind).rpartition(".")[2] not in USUAL_CONVOLUTIONS:
        return f"conv_cfg type {kind}"
    epsilon = norm.get("eps", USUAL_EPSILON) if isinstance(norm, dict) else USUAL_EPSILON
    if not isinstance(epsilon, int | float) or not math.isclose(epsilon, USUAL_EPSILON):
        return f"norm_cfg eps {epsilon}"
    return ""


def _as_configured(settings: Mapping[str, Any], like: Blocks, bottlenecks: bool) -> Blocks | None:
    """Return the blocks as OpenMMLab builds them; None where the settings are not numbers or too few."""
    strides, dilations = (
        _numbers(settings.get(name) or usual)
        for name, usual in (("strides", STRIDES), ("dilations", DILATIONS))
    )
    grid = _numbers(settings["multi_grid"]) if settings.get("multi_grid") else []
    last = max(stage for stage, _ in like)
    if min(len(strides), len(dilations)) <= last or (settings.get("multi_grid") and not grid):
        return None
    found: Blocks = {}
    for stage, block in like:
        dilation = dilations[stage]
        if grid and stage == last:
            if block >= len(grid):
                return None
            dilation = grid[block]
        elif block == 0 and dilation > 1 and settings.get("contract_dilation"):
            dilation //= 2
        pair = (1, dilation) if bottlenecks else (dilation, 1)
        found[stage, block] = (strides[stage] if block == 0 else 1, *pair)
    return found


def _numbers(value: Any) -> list[int]:
    """Return a list of whole numbers, empty for anything else."""
    fine = isinstance(value, list | tuple) and all(type(one) is int and one > 0 for one in value)
    return list(value) if fine else []


@functools.cache
def _blocks(arch: str, output_stride: int) -> Blocks:
    """Return the blocks of timm's architecture, none where it cannot be built so."""
    import timm

    try:
        with torch.device("meta"):
            model = timm.create_model(arch, num_classes=0, output_stride=output_stride)
    except (ValueError, TypeError, AssertionError, NotImplementedError, KeyError):
        return {}
    found: Blocks = {}
    for stage in range(4):
        for number, block in enumerate(getattr(model, f"layer{stage + 1}", nn.Identity()).children()):
            first, second = block.conv1, block.conv2
            stride = first.stride[0] * second.stride[0]
            found[stage, number] = (stride, first.dilation[0], second.dilation[0])
    return found


def has_bottlenecks(arch: str) -> bool:
    """Return whether the blocks of a ResNet of timm's have three convolutions."""
    return hasattr(network_on_meta(arch).get_submodule("layer1.0"), "conv3")
