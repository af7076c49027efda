"""MoCo v2's views on a CPU: each image goes through all its changes within the core's cache.

Batched tensors (`mmbench.pretrain.augment`), which a GPU needs, pass over the whole batch for each of about
120 operations instead. Both compute the same formulas; their values differ by rounding.

Planes are stored column by column (pixel y, x at x * S + y): both passes of a resize then run along memory.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint64

from mmbench.compiled import compiled
from mmbench.pretrain.colour import LUMA

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Booleans = npt.NDArray[np.bool_]

# Constants of float32: with Python's, which are float64, everything would be computed in float64.
ZERO, HALF, ONE, TWO, THREE, FOUR, FIVE, SIX = (np.float32(value) for value in (0, 0.5, 1, 2, 3, 4, 5, 6))
RED, GREEN, BLUE = (np.float32(value) for value in LUMA)
LEAST_CHROMA, BYTE = np.float32(1e-12), np.float32(255)
BLOCK = 16  # rows at a time between the two orders of storage: a cache line of float32


class Changes(NamedTuple):
    """What was drawn for each image of a batch (B)."""

    areas: Integers  # (B, 4): top, left, height, width of the crop, in pixels
    flipped: Booleans  # (B,)
    factors: (
        Floats  # (4, B): brightness, contrast and saturation less 1, and turns of the hue; 0 for no change
    )
    order: Integers  # (4,): the order of the four
    grayscale: Booleans  # (B,)
    sigmas: Floats  # (B,): of the blur, in pixels; 0 for none


class Scratch(NamedTuple):
    """Memory of one image of side S from a source of width W, used again for the next."""

    planes: Floats  # (3, S * S), column by column
    lines: Floats  # (BLOCK, W)
    narrow: Floats  # (W, 3 * S): resized along its columns
    blurred: Floats  # (S, S)
    padded: Floats  # (S + K,)
    first: Integers  # (S,): the first pixel that each pixel of a line is computed from
    weights: Floats  # (W or H, S): and the weights of the pixels from there on
    gaussian: Floats  # (K,)


@compiled
def _set_weights(length: int, flipped: bool, total: np.float32, scratch: Scratch) -> int:
    """Set `first` and `weights` to resize a line of `length` pixels, as in `mmbench.resample.resize_matrix`.

    Args:
        total: the sum of the weights of each pixel.

    Returns:
        How many weights each pixel has.
    """
    first, weights, size = scratch.first, scratch.weights, len(scratch.first)
    scale = np.float32(length) / np.float32(size)
    reach = max(scale, ONE)
    count = min(length, int(np.ceil(TWO * reach)))
    for pixel in range(size):
        place = size - 1 - pixel if flipped else pixel
        centre = (np.float32(place) + HALF) * scale
        begin = min(max(int(np.floor(centre - reach + HALF)), 0), length - count)
        first[pixel] = begin
        weight_sum = ZERO
        for k in range(count):
            weight = max(ONE - abs(np.float32(begin + k) + HALF - centre) / reach, ZERO)
            weights[k, pixel] = weight
            weight_sum += weight
        for k in range(count):
            weights[k, pixel] *= total / weight_sum
    return count


@compiled
def _add(weight: np.float32, line: Floats | Bytes, target: Floats) -> None:
    for i in range(len(target)):
        target[i] += weight * np.float32(line[i])


@compiled
def _crop(image: Bytes, area: Integers, flipped: bool, scratch: Scratch) -> None:
    """Cut, resize and flip: uint8 (3, H, W) -> planes in [0, 1]."""
    top, left, height, width, size = area[0], area[1], area[2], area[3], len(scratch.first)
    first, weights, lines, narrow = scratch.first, scratch.weights, scratch.lines, scratch.narrow
    count = _set_weights(height, False, ONE, scratch)
    for channel in range(3):
        for block in range(0, size, BLOCK):
            rows = min(BLOCK, size - block)
            for row in range(rows):
                line, begin = lines[row, :width], top + first[block + row]
                line[:] = ZERO
                for k in range(count):
                    _add(weights[k, block + row], image[channel, begin + k, left : left + width], line)
            for x in range(width):
                column = narrow[x]
                for row in range(rows):
                    column[uint64(channel * size + block + row)] = lines[uint64(row), uint64(x)]
    count = _set_weights(width, flipped, ONE / BYTE, scratch)
    for x in range(size):
        for channel in range(3):
            target = scratch.planes[channel, x * size : (x + 1) * size]
            target[:] = ZERO
            for k in range(count):
                _add(weights[k, x], narrow[first[x] + k, channel * size : (channel + 1) * size], target)


@compiled
def _copy(image: Bytes, flipped: bool, scratch: Scratch) -> None:
    """Take over a crop that has its size: uint8 (3, S, S) -> planes in [0, 1]."""
    size = len(scratch.first)
    for channel in range(3):
        plane = scratch.planes[channel]
        for block in range(0, size, BLOCK):
            for x in range(size):
                place = size - 1 - x if flipped else x
                for y in range(block, min(block + BLOCK, size)):
                    plane[uint64(place * size + y)] = np.float32(image[channel, uint64(y), uint64(x)]) / BYTE


@compiled
def _clamp(value: np.float32) -> np.float32:
    return min(max(value, ZERO), ONE)


@compiled
def _scale_and_add(planes: Floats, factor: np.float32, addend: np.float32) -> None:
    for channel in range(3):
        plane = planes[channel]
        for i in range(len(plane)):
            plane[i] = _clamp(plane[i] * factor + addend)


@compiled
def _mean_luma(planes: Floats, sums: Floats) -> np.float32:
    """Return the mean over an image; `sums` (S,) is memory for S sums, which add up side by side."""
    red, green, blue = planes[0], planes[1], planes[2]
    size = len(sums)
    sums[:] = ZERO
    for line in range(0, len(red), size):
        r, g, b = red[line : line + size], green[line : line + size], blue[line : line + size]
        for i in range(size):
            sums[i] += RED * r[i] + GREEN * g[i] + BLUE * b[i]
    total = ZERO
    for i in range(size):
        total += sums[i]
    return total / np.float32(len(red))


@compiled
def _change_saturation(planes: Floats, factor: np.float32) -> None:
    red, green, blue = planes[0], planes[1], planes[2]
    for i in range(len(red)):
        luma = (RED * red[i] + GREEN * green[i] + BLUE * blue[i]) * (ONE - factor)
        red[i] = _clamp(red[i] * factor + luma)
        green[i] = _clamp(green[i] * factor + luma)
        blue[i] = _clamp(blue[i] * factor + luma)


@compiled
def _channel_of_hue(sixths: np.float32, value: np.float32, chroma: np.float32) -> np.float32:
    k = sixths - np.floor(sixths / SIX) * SIX
    return value - chroma * _clamp(min(k, FOUR - k))


@compiled
def _turn_hue(planes: Floats, turns: np.float32) -> None:
    """Turn the hue as `mmbench.pretrain.colour.adjust_hue` does."""
    red, green, blue = planes[0], planes[1], planes[2]
    for i in range(len(red)):
        r, g, b = red[i], green[i], blue[i]
        value = max(max(r, g), b)
        chroma = value - min(min(r, g), b)
        scale = ONE / max(chroma, LEAST_CHROMA)
        sixths = (r - g) * scale + FOUR
        sixths = (b - r) * scale + TWO if value == g else sixths
        sixths = (g - b) * scale if value == r else sixths
        sixths += turns * SIX
        red[i] = _channel_of_hue(sixths + FIVE, value, chroma)
        green[i] = _channel_of_hue(sixths + THREE, value, chroma)
        blue[i] = _channel_of_hue(sixths + ONE, value, chroma)


@compiled
def _make_gray(planes: Floats) -> None:
    for i in range(planes.shape[1]):
        planes[:, i] = RED * planes[0, i] + GREEN * planes[1, i] + BLUE * planes[2, i]


@compiled
def _blur(sigma: np.float32, scratch: Scratch) -> None:
    """Blur the planes with a Gaussian that is reflected at the borders."""
    gaussian, padded, blurred, size = scratch.gaussian, scratch.padded, scratch.blurred, len(scratch.first)
    half = len(gaussian) // 2
    total = ZERO
    for k in range(len(gaussian)):
        steps = np.float32(k - half) / sigma
        gaussian[k] = np.exp(-HALF * steps * steps)
        total += gaussian[k]
    for k in range(len(gaussian)):
        gaussian[k] /= total
    for channel in range(3):
        plane = scratch.planes[channel]
        for x in range(size):
            column = plane[x * size : (x + 1) * size]
            padded[half : half + size] = column
            for y in range(half):
                padded[half - 1 - y] = column[y + 1]
                padded[half + size + y] = column[size - 2 - y]
            target = blurred[x]
            target[:] = ZERO
            for k in range(len(gaussian)):
                _add(gaussian[k], padded[k : k + size], target)
        for x in range(size):
            target = plane[x * size : (x + 1) * size]
            target[:] = ZERO
            for k in range(len(gaussian)):
                place = abs(x + k - half)
                _add(gaussian[k], blurred[place if place < size else 2 * (size - 1) - place], target)


@compiled
def _store(planes: Floats, view: Floats, normalisation: Floats) -> None:
    """Normalise, and write the view (S, S, 3)."""
    size = len(view)
    flat = view.reshape(size * size * 3)
    for channel in range(3):
        plane, mean, std = planes[channel], normalisation[0, channel], normalisation[1, channel]
        for i in range(len(plane)):
            plane[i] = (plane[i] - mean) / std
    red, green, blue = planes[0], planes[1], planes[2]
    for block in range(0, size, BLOCK):
        for x in range(size):
            for y in range(block, min(block + BLOCK, size)):
                source, target = uint64(x * size + y), uint64(3 * (y * size + x))
                flat[target] = red[source]
                flat[target + uint64(1)] = green[source]
                flat[target + uint64(2)] = blue[source]


@compiled
def render(
    images: Bytes, changes: Changes, cropped: bool, normalisation: Floats, kernel_size: int, views: Floats
) -> None:
    """Write one view of each image: uint8 (B, 3, H, W) -> float32 (B, S, S, 3), normalised.

    Nothing is checked here: areas lie inside the images, and no array is shorter than said.

    Args:
        cropped: the images have the size of the views, and nothing is cut off; `changes.areas` is not read.
        normalisation: (2, 3), mean and standard deviation of each channel.
        kernel_size: of the blur, odd, at most 2 * S - 1.
    """
    size, height, width = views.shape[1], images.shape[2], images.shape[3]
    scratch = Scratch(
        np.empty((3, size * size), np.float32),
        np.empty((BLOCK, width), np.float32),
        np.empty((width, 3 * size), np.float32),
        np.empty((size, size), np.float32),
        np.empty(size + kernel_size, np.float32),
        np.empty(size, np.int32),
        np.empty((max(height, width), size), np.float32),
        np.empty(kernel_size, np.float32),
    )
    planes = scratch.planes
    for index in range(len(images)):
        if cropped:
            _copy(images[index], changes.flipped[index], scratch)
        else:
            _crop(images[index], changes.areas[index], changes.flipped[index], scratch)
        for operation in changes.order:
            factor = changes.factors[operation, index]
            if factor == ZERO:
                continue
            if operation == 0:
                _scale_and_add(planes, ONE + factor, ZERO)
            elif operation == 1:
                mean_luma = _mean_luma(planes, scratch.blurred[0])
                _scale_and_add(planes, ONE + factor, mean_luma * -factor)
            elif operation == 2:
                _change_saturation(planes, ONE + factor)
            else:
                _turn_hue(planes, factor)
        if changes.grayscale[index]:
            _make_gray(planes)
        if changes.sigmas[index] > ZERO:
            _blur(changes.sigmas[index], scratch)
        _store(planes, views[index], normalisation)
