"""Random resized crops and flips, batched: every image has its own rectangle."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from mmbench.images.crop_rule import CropRule
from mmbench.images.resample import apply_matrices, resize_matrix

TRIES = 10  # draws until a crop fits, as in torchvision


class Crops(NamedTuple):
    """Crop rectangles in pixels of the source; each field has shape (B,)."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


def draw_crops(batch: int, source: tuple[int, int], rule: CropRule, generator: Generator) -> Crops:
    """Draw crops of random area, aspect ratio and position inside the source (H, W).

    Sizes are whole numbers of pixels, and all is drawn as in torchvision's RandomResizedCrop, but for crops
    that do not fit where the rule cuts them.
    """
    if rule.fit == "redraw":
        return _first_that_fits(batch, source, rule, generator)
    height, width = source
    draws = torch.rand((4, batch), generator=generator, device=generator.device)
    tall, wide = _sides(draws, source, rule)
    tall, wide = tall.clamp_(1, height), wide.clamp_(1, width)
    return Crops(_start(draws[2], height, tall), _start(draws[3], width, wide), tall, wide)


def _first_that_fits(batch: int, source: tuple[int, int], rule: CropRule, generator: Generator) -> Crops:
    """Draw each crop ten times and take the first that fits, else the centre."""
    height, width = source
    draws = torch.rand((4, TRIES, batch), generator=generator, device=generator.device)
    tall, wide = _sides(draws, source, rule)
    fits = (tall >= 1) & (tall <= height) & (wide >= 1) & (wide <= width)
    first = fits.to(torch.uint8).argmax(0, keepdim=True)
    tall, wide, down, across = (drawn.gather(0, first)[0] for drawn in (tall, wide, draws[2], draws[3]))
    top, left = _start(down, height, tall), _start(across, width, wide)
    fitting = fits.any(0)
    drawn = Crops(top, left, tall, wide)
    return Crops(
        *(torch.where(fitting, *pair) for pair in zip(drawn, _centre(source, rule, top), strict=True))
    )


def _sides(draws: Tensor, source: tuple[int, int], rule: CropRule) -> tuple[Tensor, Tensor]:
    """Return heights and widths, which may be larger than the source's, from two draws in [0, 1)."""
    height, width = source
    area = (draws[0] * (rule.scale[1] - rule.scale[0]) + rule.scale[0]) * (height * width)
    low, high = (math.log(value) for value in rule.aspect)
    ratio = torch.exp(draws[1] * (high - low) + low)
    return (area / ratio).sqrt().round(), (area * ratio).sqrt().round()


def _start(draw: Tensor, whole: int, part: Tensor) -> Tensor:
    """Return where the parts of a side begin, from a draw in [0, 1)."""
    return (draw * (whole - part + 1)).floor()


def _centre(source: tuple[int, int], rule: CropRule, like: Tensor) -> Crops:
    """Return the largest centre crop of an allowed shape."""
    height, width = source
    low, high = rule.aspect
    wide = min(width, max(1, round(height * high)))
    tall = min(height, max(1, round(width / low)))
    values = ((height - tall) // 2, (width - wide) // 2, tall, wide)
    return Crops(*(torch.full_like(like, value) for value in values))


def resized_crops(images: Tensor, crops: Crops, size: int, flipped: Tensor) -> Tensor:
    """Cut, resize and flip: uint8 (B, C, H, W) -> float32 (B, C, size, size) in [0, 1].

    On a CPU by a compiled kernel, elsewhere by batched matrices; values differ by rounding.

    Args:
        crops: whole pixels inside the images.
        flipped: bool (B,), which images are mirrored left to right.
    """
    if images.device.type != "cpu":
        return crops_by_matrices(images, crops, size, flipped)
    from mmbench import compiled  # Numba is imported where crops are made, and nowhere else
    from mmbench.images import crop_kernels

    pixels = torch.empty((*images.shape[:2], size, size))
    areas = torch.stack(tuple(crops), 1).int().numpy()
    given, mirrored, made = images.contiguous().numpy(), flipped.numpy(), pixels.numpy()
    compiled.over_threads(
        lambda own: crop_kernels.crop(given[own], areas[own], mirrored[own], made[own]), len(made), made.size
    )
    return pixels


def crops_by_matrices(images: Tensor, crops: Crops, size: int, flipped: Tensor) -> Tensor:
    """Cut, resize and flip as `resized_crops` does, by batched matrices, on any device."""
    height, width = images.shape[-2:]
    rows = resize_matrix(crops.top, crops.height, height, size)
    columns = resize_matrix(crops.left, crops.width, width, size, flipped)
    return apply_matrices(images.float().div_(255), rows, columns)


def flipped_images(images: Tensor, flipped: Tensor) -> Tensor:
    """Mirror the marked images left to right: uint8 (B, C, H, W) -> float32 in [0, 1]."""
    if images.device.type != "cpu":
        return torch.where(flipped.view(-1, 1, 1, 1), images.flip(3), images).float().div_(255)
    from mmbench.images import crop_kernels

    pixels = torch.empty(images.shape)
    crop_kernels.flip(images.contiguous().numpy(), flipped.numpy(), pixels.numpy())
    return pixels
