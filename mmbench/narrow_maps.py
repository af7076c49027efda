"""Convolutions of maps that are smaller than their kernel and stride, kept out of bfloat16 on the CPU.

Where a row or a column of a kernel meets only padding, its gradient is zero. For many such shapes oneDNN
3.13.3, which comes with torch 2.15.0, leaves that part of the gradient unwritten in bfloat16: what was
in memory becomes an update, finite or not, and two runs of one seed differ. Examples are kernels of 3 x 3 or
1 x 1 with stride 2 on maps of one pixel, as in the last stage of a ResNet-18 on images of 16 px. It was seen
on a CPU with AVX-512, in `jit_bf16:avx512_core_bf16`. In float32 the gradient is right.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn

Convolution = nn.Conv2d | nn.ConvTranspose2d


def is_narrow(convolution: Convolution, height: int, width: int) -> bool:
    """Return whether the gradient of a kernel may be wrong in bfloat16 on a map of these sides.

    Along a side of at least reach + stride - 1 pixels, where reach is the extent of the kernel, each part of
    it meets a pixel whatever the padding is. For a transposed convolution the side is its output's. The
    usual 3 x 3 kernels were right down to maps as small as their stride, in all of 3,300 shapes.
    """
    for axis, side in enumerate((height, width)):
        stride, kernel = convolution.stride[axis], convolution.kernel_size[axis]
        reach = convolution.dilation[axis] * (kernel - 1) + 1
        if isinstance(convolution, nn.ConvTranspose2d):
            side = (side - 1) * stride - 2 * int(convolution.padding[axis]) + reach
        elif kernel == reach == 3 and convolution.padding[axis] == 1 and stride <= 2:
            reach = 1
        if side < reach + stride - 1:
            return True
    return False


class _Float32WhereNarrow:
    """What `float32_where_narrow` puts before the class of a convolution."""

    def forward(self, maps: Tensor, *others: Any, **named: Any) -> Any:
        """Return the maps of the class's own forward, which is left out of autocast where it has to be."""
        own: Any = super()
        convolution: Any = self
        in_autocast = maps.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        if not in_autocast or not is_narrow(convolution, maps.shape[-2], maps.shape[-1]):
            return own.forward(maps, *others, **named)
        with torch.autocast("cpu", enabled=False):
            return own.forward(maps.float(), *others, **named)


@functools.cache
def _extended(kind: Any) -> Any:
    """Return a subclass of the same name whose forward comes first."""
    return type(kind.__name__, (_Float32WhereNarrow, kind), {"__module__": kind.__module__})


def float32_where_narrow(network: nn.Module) -> None:
    """Let a network's convolutions compute in float32 where bfloat16's gradient may be wrong on this CPU.

    Names, tensors and all results elsewhere stay the same; a network that has gone through it stays as it is.
    """
    for module in network.modules():
        if isinstance(module, _Float32WhereNarrow) or not isinstance(module, Convolution):
            continue
        if is_narrow(module, 1, 1):  # others never are
            kind: Any = type(module)
            module.__class__ = _extended(kind)
