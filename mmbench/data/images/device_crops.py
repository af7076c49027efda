"""Crops of decoded images on any device, antialiased bilinear: Pillow's resize with a box, to the rounding.

Weights are Pillow's (computed in float64, applied in float32), and so are the two passes, across and then
down, with a rounding to 8 bits after each: to the nearest, halves upwards. A value may differ from Pillow's
by 1, where a sum lies within float32's rounding of a half, and by 2, where that happens in both passes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmbench.data.images.box_resize import Box
from mmbench.images.resample import resize_matrix

MOST_BYTES = 2**28  # of float32 pixels that are resized at a time


class Window(NamedTuple):
    """The part of an image that a crop is made of: a box, and what the filter reaches around it.

    Attributes:
        pixels: uint8 (3, h, w).
        box: inside the window.
    """

    pixels: Tensor
    box: Box


def device_crops(
    images: Sequence[Tensor], boxes: Sequence[Sequence[Box]], size: int, *, around: bool
) -> Tensor:
    """Return as many crops of each image as it has boxes, uint8 (N, V, 3, size, size).

    Args:
        images: uint8 (3, H, W) each, on one device.
        boxes: V per image, inside it, in whole pixels.
        around: whether pixels around a box have a weight in the outermost ones of its crop.
    """
    window = _window_around if around else _window
    windows = [
        window(image, box, size) for image, several in zip(images, boxes, strict=True) for box in several
    ]
    crops = torch.cat([_resized(group, size) for group in _groups(windows)])
    return crops.view(len(images), -1, *crops.shape[1:])


def _window(image: Tensor, box: Box, size: int) -> Window:
    left, top, right, bottom = map(int, box)
    return Window(image[:, top:bottom, left:right], (0, 0, right - left, bottom - top))


def _window_around(image: Tensor, box: Box, size: int) -> Window:
    height, width = image.shape[-2:]
    left, top, right, bottom = box
    beside, above = (math.ceil(max(1.0, length / size)) for length in (right - left, bottom - top))
    first, above_all = max(0, math.floor(left) - beside), max(0, math.floor(top) - above)
    last, below_all = min(width, math.ceil(right) + beside), min(height, math.ceil(bottom) + above)
    inside = (left - first, top - above_all, right - first, bottom - above_all)
    return Window(image[:, above_all:below_all, first:last], inside)


def _groups(windows: Sequence[Window]) -> Iterator[list[Window]]:
    """Yield windows that fit into MOST_BYTES together, all padded to the largest; one at least."""
    group: list[Window] = []
    tall = wide = 0
    for window in windows:
        height, width = window.pixels.shape[-2:]
        higher, wider = max(tall, height), max(wide, width)
        if group and 3 * 4 * higher * wider * (len(group) + 1) > MOST_BYTES:
            yield group
            group, higher, wider = [], height, width
        group.append(window)
        tall, wide = higher, wider
    if group:
        yield group


def _resized(windows: Sequence[Window], size: int) -> Tensor:
    """Return the boxes of windows on one device, uint8 (N, 3, size, size)."""
    device = windows[0].pixels.device
    tall, wide = (max(window.pixels.shape[axis] for window in windows) for axis in (1, 2))
    padded = torch.zeros((len(windows), 3, tall, wide), dtype=torch.uint8, device=device)
    for place, window in zip(padded, windows, strict=True):
        place[:, : window.pixels.shape[1], : window.pixels.shape[2]] = window.pixels
    left, top, right, bottom = (
        torch.tensor([window.box for window in windows], dtype=torch.float64).to(device).T
    )
    heights, widths = torch.tensor([window.pixels.shape[1:] for window in windows]).to(device).T
    columns = resize_matrix(left, right - left, wide, size, ends=widths).float()
    rows = resize_matrix(top, bottom - top, tall, size, ends=heights).float()
    across = torch.bmm(padded.float().view(len(windows), 3 * tall, wide), columns.mT)
    lines = _rounded(across).view(len(windows), 3, tall, size)
    return _rounded(torch.matmul(rows.unsqueeze(1), lines)).to(torch.uint8)


def _rounded(values: Tensor) -> Tensor:
    """Round to the nearest of 0 to 255, halves upwards, in place."""
    return values.add_(0.5).floor_().clamp_(0, 255)
