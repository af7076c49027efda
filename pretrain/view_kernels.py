"""MoCo v2's views on a CPU: each image goes through all its changes within the core's cache.

Batched tensors (`mmbench.pretrain.augment`), which a GPU needs, pass over the whole batch for each of about
120 operations instead. Both compute the same formulas; their values differ by rounding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint64

from mmbench.compiled import compiled
from mmbench.pretrain.colour import LUMA

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

# Constants of float32: with Python's, which are float64, everything would be computed in float64.
ZERO, HALF, ONE, TWO, THREE, FOUR, FIVE, SIX = (np.float32(value) for value in (0, 0.5, 1, 2, 3, 4, 5, 6))
RED, GREEN, BLUE = (np.float32(value) for value in LUMA)
LEAST_CHROMA = np.float32(1e-12)


class Scratch(NamedTuple):
    """Memory for one image of side S, used again for the next."""

    sums: Floats  # (S,)
    blurred: Floats  # (S, S): along its rows
    padded: Floats  # (S + K,): a row and what is reflected at its ends
    gaussian: Floats  # (K,)


@compiled
def _add(weight: np.float32, line: Floats, target: Floats) -> None:
    for i in range(len(target)):
        target[i] += weight * line[i]


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
def _blur(image: Floats, sigma: np.float32, scratch: Scratch) -> None:
    """Blur with a Gaussian that is reflected at the borders."""
    gaussian, padded, blurred, size = scratch.gaussian, scratch.padded, scratch.blurred, len(scratch.sums)
    half = len(gaussian) // 2
    total = ZERO
    for k in range(len(gaussian)):
        steps = np.float32(k - half) / sigma
        gaussian[k] = np.exp(-HALF * steps * steps)
        total += gaussian[k]
    for k in range(len(gaussian)):
        gaussian[k] /= total
    for channel in range(3):
        for y in range(size):
            row, target = image[channel, y], blurred[y]
            padded[half : half + size] = row
            for x in range(half):
                padded[half - 1 - x] = row[x + 1]
                padded[half + size + x] = row[size - 2 - x]
            target[:] = ZERO
            for k in range(len(gaussian)):
                _add(gaussian[k], padded[k : k + size], target)
        for y in range(size):
            target = image[channel, y]
            target[:] = ZERO
            for k in range(len(gaussian)):
                place = abs(y + k - half)
                _add(gaussian[k], blurred[place if place < size else 2 * (size - 1) - place], target)


@compiled
def _store(planes: Floats, view: Floats, normalisation: Floats) -> None:
    """Normalise (3, S * S), and write the view (S * S * 3)."""
    for channel in range(3):
        plane, mean, std = planes[channel], normalisation[0, channel], normalisation[1, channel]
        for i in range(len(plane)):
            plane[i] = (plane[i] - mean) / std
    red, green, blue = planes[0], planes[1], planes[2]
    for i in range(len(red)):
        view[uint64(3 * i)] = red[i]
        view[uint64(3 * i + 1)] = green[i]
        view[uint64(3 * i + 2)] = blue[i]


@compiled
def change(
    pixels: Floats,
    factors: Floats,
    order: Integers,
    grayscale: Booleans,
    sigmas: Floats,
    normalisation: Floats,
    kernel_size: int,
    views: Floats,
) -> None:
    """Write one view of each crop: float32 (B, 3, S, S) in [0, 1] -> (B, S, S, 3), normalised.

    Args:
        pixels: the crops; they are overwritten.
        factors, order, grayscale, sigmas: as in `mmbench.pretrain.augment.Changes`.
        normalisation: (2, 3), mean and standard deviation of each channel.
        kernel_size: of the blur, odd, at most 2 * S - 1.
    """
    size = pixels.shape[2]
    scratch = Scratch(
        np.empty(size, np.float32),
        np.empty((size, size), np.float32),
        np.empty(size + kernel_size, np.float32),
        np.empty(kernel_size, np.float32),
    )
    for index in range(len(pixels)):
        planes = pixels[index].reshape(3, size * size)
        for operation in order:
            factor = factors[index, operation]
            if factor == ZERO:
                continue
            if operation == 0:
                _scale_and_add(planes, ONE + factor, ZERO)
            elif operation == 1:
                mean_luma = _mean_luma(planes, scratch.sums)
                _scale_and_add(planes, ONE + factor, mean_luma * -factor)
            elif operation == 2:
                _change_saturation(planes, ONE + factor)
            else:
                _turn_hue(planes, factor)
        if grayscale[index]:
            _make_gray(planes)
        if sigmas[index] > ZERO:
            _blur(pixels[index], sigmas[index], scratch)
        _store(planes, views[index].reshape(3 * size * size), normalisation)
