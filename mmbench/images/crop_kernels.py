"""Random crops on a CPU: one image at a time, within the core's cache (`resample` has the matrices).

A line of the result is a weighted sum of whole lines of the source, which runs along memory; so a crop is
resized down its columns, turned, resized again, and turned back. All arithmetic is in float32.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import uint64

from mmbench.compiled import compiled

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Booleans = npt.NDArray[np.bool_]

# Constants of float32: with Python's, which are float64, everything would be computed in float64.
ZERO, HALF, ONE, TWO, BYTE = (np.float32(value) for value in (0, 0.5, 1, 2, 255))
BLOCK = 16  # lines that are turned at a time: a cache line of float32


class Scratch(NamedTuple):
    """Memory for one crop of side S of a source of H x W pixels and C channels, used again for the next."""

    first: Integers  # (S,): the first pixel that each pixel of a resized line is computed from
    weights: Floats  # (H or W, S): and the weights of the pixels from there on
    lines: Floats  # (BLOCK, W or C * S): before they are turned
    turned: Floats  # (W, C * S): resized along the columns; S pixels of each channel


@compiled
def _set_weights(length: int, flipped: bool, total: np.float32, scratch: Scratch) -> int:
    """Set `first` and `weights` to resize a line of `length` pixels, as in `resample.resize_matrix`.

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
def _crop(image: Bytes, area: Integers, flipped: bool, pixels: Floats, scratch: Scratch) -> None:
    """Cut, resize and flip: uint8 (C, H, W) -> float32 (C, S, S)."""
    top, left, height, width = area[0], area[1], area[2], area[3]
    channels, size = pixels.shape[0], pixels.shape[1]
    first, weights, lines, turned = scratch.first, scratch.weights, scratch.lines, scratch.turned
    count = _set_weights(height, False, ONE, scratch)
    for channel in range(channels):
        for block in range(0, size, BLOCK):
            rows = min(BLOCK, size - block)
            for row in range(rows):
                line, begin = lines[row, :width], top + first[block + row]
                line[:] = ZERO
                for k in range(count):
                    _add(weights[k, block + row], image[channel, begin + k, left : left + width], line)
            for x in range(width):
                column = turned[x]
                for row in range(rows):
                    column[uint64(channel * size + block + row)] = lines[uint64(row), uint64(x)]
    count = _set_weights(width, flipped, ONE / BYTE, scratch)
    for block in range(0, size, BLOCK):
        columns = min(BLOCK, size - block)
        for column in range(columns):
            line, begin = lines[column, : channels * size], first[block + column]
            line[:] = ZERO
            for k in range(count):
                _add(weights[k, block + column], turned[begin + k], line)
        for channel in range(channels):
            for y in range(size):
                row = pixels[channel, y]
                for column in range(columns):
                    row[uint64(block + column)] = lines[uint64(column), uint64(channel * size + y)]


@compiled
def crop(images: Bytes, areas: Integers, flipped: Booleans, pixels: Floats) -> None:
    """Write one crop of each image: uint8 (B, C, H, W) -> float32 (B, C, S, S) in [0, 1].

    Nothing is checked here: areas lie inside the images.

    Args:
        areas: (B, 4): top, left, height and width in pixels.
        flipped: (B,), which crops are mirrored left to right.
    """
    channels, height, width, size = images.shape[1], images.shape[2], images.shape[3], pixels.shape[2]
    scratch = Scratch(
        np.empty(size, np.int32),
        np.empty((max(height, width), size), np.float32),
        np.empty((BLOCK, max(width, channels * size)), np.float32),
        np.empty((width, channels * size), np.float32),
    )
    for index in range(len(images)):
        _crop(images[index], areas[index], flipped[index], pixels[index], scratch)


@compiled
def flip(images: Bytes, flipped: Booleans, pixels: Floats) -> None:
    """Write images, mirrored left to right where `flipped`: uint8 (B, C, H, W) -> float32 in [0, 1].

    Args:
        flipped: (B,).
    """
    channels, height, width = images.shape[1], images.shape[2], images.shape[3]
    for index in range(len(images)):
        for channel in range(channels):
            for y in range(height):
                line, target = images[index, channel, y], pixels[index, channel, y]
                if flipped[index]:
                    for x in range(width):
                        target[x] = np.float32(line[uint64(width - 1 - x)]) / BYTE
                else:
                    for x in range(width):
                        target[x] = np.float32(line[x]) / BYTE
