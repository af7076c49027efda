"""Random resized crops and flips, batched: every image has its own rectangle."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from mmbench.resample import apply_matrices, resize_matrix


class Crops(NamedTuple):
    """Crop rectangles in pixels of the source; each field has shape (B,)."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


def draw_crops(
    batch: int,
    source: tuple[int, int],
    scale: tuple[float, float],
    aspect: tuple[float, float],
    generator: Generator,
) -> Crops:
    """Draw crops of random area, aspect ratio and position inside the source (H, W).

    Area (as a share, `scale`) and width / height (`aspect`, log-uniform) are drawn as in torchvision's
    RandomResizedCrop; where the crop would not fit, its longer side is cut to the image instead of drawing
    again. Sizes are whole numbers of pixels, as in torchvision.
    """
    height, width = source
    draws = torch.rand((4, batch), generator=generator, device=generator.device)
    area = (draws[0] * (scale[1] - scale[0]) + scale[0]) * (height * width)
    low, high = (math.log(value) for value in aspect)
    ratio = torch.exp(draws[1] * (high - low) + low)
    wide = (area * ratio).sqrt().round().clamp_(1, width)
    tall = (area / ratio).sqrt().round().clamp_(1, height)
    top = (draws[2] * (height - tall + 1)).floor()
    left = (draws[3] * (width - wide + 1)).floor()
    return Crops(top, left, tall, wide)


def resized_crops(images: Tensor, crops: Crops, size: int, flipped: Tensor) -> Tensor:
    """Cut, resize and flip: uint8 (B, C, H, W) -> float32 (B, C, size, size) in [0, 1].

    On a CPU by a compiled kernel, elsewhere by batched matrices; values differ by rounding.

    Args:
        crops: whole pixels inside the images.
        flipped: bool (B,), which images are mirrored left to right.
    """
    if images.device.type != "cpu":
        return crops_by_matrices(images, crops, size, flipped)
    from mmbench import compiled, crop_kernels  # Numba is imported where crops are made, and nowhere else

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
    from mmbench import crop_kernels

    pixels = torch.empty(images.shape)
    crop_kernels.flip(images.contiguous().numpy(), flipped.numpy(), pixels.numpy())
    return pixels
