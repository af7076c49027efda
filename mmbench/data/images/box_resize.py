"""Pillow's antialiased bilinear resize on uint8 arrays, by torch's vectorised kernel, to the rounding.

Both compute the same weights; torch keeps 16 bits of them and Pillow 22, so a value may differ by 1, and
seldom by 2. A box is another matter: Pillow's filter reaches a pixel beyond it, whereas torch knows only what
is cut out. So the pixels around the box are resized too and weighted into the outermost pixels, where two
roundings meet.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmbench.data.images.decoding import Array

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
Box = tuple[float, float, float, float]  # left, top, right, bottom
# Source pixels per resized one between which the filter reaches one pixel beyond the box, and no more, and
# only from the outermost resized pixel.
ONE_BEYOND = (1 / 3, 3.0)


def resize(pixels: Array, height: int, width: int) -> Array:
    """Return a whole image (H, W, 3), contiguous, at another size."""
    image = torch.from_numpy(pixels[None]).permute(0, 3, 1, 2)  # channels last, for which the kernel is fast
    return cast(Array, _interpolated(image, height, width)[0].permute(1, 2, 0).numpy())


def resize_box(pixels: Array, box: Box, crop: Tensor, *, around: bool) -> None:
    """Resize a box of an image (H, W, 3) into `crop`, uint8 (3, S, S).

    Args:
        around: whether the pixels around the box have a weight in the outermost resized ones. Those around a
            box between pixels always have.
    """
    size = crop.shape[-1]
    if not all(float(side).is_integer() for side in box):
        resized = _by_pillow(pixels, box, size)
    elif around:
        resized = _with_pixels_around(pixels, box, size)
    else:
        left, top, right, bottom = map(int, box)
        resized = resize(pixels[top:bottom, left:right].copy(), size, size)
    crop.copy_(torch.from_numpy(resized).permute(2, 0, 1))


def _with_pixels_around(pixels: Array, box: Box, size: int) -> Array:
    """Return a box of whole pixels, (size, size, 3), with the weights of those around it."""
    left, top, right, bottom = map(int, box)
    height, width = pixels.shape[:2]
    across, down = (right - left) / size, (bottom - top) / size
    least, most = ONE_BEYOND
    if size == 1 or min(across, down) < least or max(across, down) > most:
        return _by_pillow(pixels, box, size)
    found = resize(pixels[top:bottom, left:right].copy(), size, size)
    if (bottom - top, right - left) == (height, width):
        return found
    columns, rows = _around(left, right, width), _around(top, bottom, height)
    beside, around = _lines(pixels[top:bottom, columns], size, 2), _lines(pixels[rows, left:right], 2, size)
    share = _shares_beyond(left > 0, right < width, (right - left) / size)
    if share.any():
        _mix(found[:, :: size - 1], beside, share)
        around[:, :: size - 1] += share * (pixels[rows, columns] - around[:, :: size - 1])
    share = _shares_beyond(top > 0, bottom < height, (bottom - top) / size)
    if share.any():
        _mix(found[:: size - 1], around, share[:, None])
    return found


def _by_pillow(pixels: Array, box: Box, size: int) -> Array:
    return np.array(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR, box=box))


def _around(first: int, end: int, length: int) -> slice:
    """Return the two lines before and after a range; where the image ends, the outermost inside."""
    before, after = max(first - 1, 0), min(end, length - 1)
    return slice(before, after + 1, max(after - before, 1))


def _interpolated(images: Tensor, height: int, width: int) -> Tensor:
    return torch.nn.functional.interpolate(images, (height, width), mode="bilinear", antialias=True)


def _lines(pixels: Array, height: int, width: int) -> Floats:
    """Return two lines of pixels, resized along them without rounding."""
    lines = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    return cast(Floats, _interpolated(lines, height, width)[0].permute(1, 2, 0).numpy())


def _shares_beyond(before: bool, after: bool, step: float) -> Floats:
    """Return the weights (2, 1) of the pixels beyond a box, of all weights in the outermost resized ones.

    Args:
        before, after: whether the image has such a pixel.
        step: source pixels per resized one, within ONE_BEYOND.
    """
    reach = max(step, 1.0)
    weights = [max(0.0, 1 - abs(pixel + 0.5 - 0.5 * step) / reach) for pixel in range(-1, 5)]
    share = weights[0] / sum(weights)
    return np.array([[share * before], [share * after]], np.float32)


def _mix(outermost: Array, beyond: Floats, share: Floats) -> None:
    """Weight the pixels beyond the box into the outermost resized ones, in place."""
    outermost[...] = outermost + share * (beyond - outermost) + np.float32(0.5)
