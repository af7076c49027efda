"""Colour operations on a batch, one factor per image; each equals torchvision's on single images.

Images are float RGB (B, 3, H, W) in [0, 1]; factors have shape (B,).
"""

from __future__ import annotations

import torch
from torch import Tensor

# ITU-R 601 luma as torchvision rounds it.
LUMA = (0.2989, 0.587, 0.114)


def _blend(images: Tensor, other: Tensor | float, factor: Tensor) -> Tensor:
    """Return factor * images + (1 - factor) * other, kept in [0, 1]."""
    factor = factor.view(-1, 1, 1, 1)
    return (images * factor).add_((1 - factor) * other).clamp_(0, 1)


def gray(images: Tensor) -> Tensor:
    """Return the luma of images: (B, 1, H, W)."""
    red, green, blue = images.unbind(1)
    return (LUMA[0] * red).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2]).unsqueeze(1)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with black."""
    return (images * factor.view(-1, 1, 1, 1)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with each image's mean luma."""
    return _blend(images, gray(images).mean((1, 2, 3), keepdim=True), factor)


def adjust_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with each image's luma."""
    return _blend(images, gray(images), factor)


def adjust_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by `shift` turns, in [-0.5, 0.5].

    With value v, chroma c and hue h in sixths of a turn, channel n of (5, 3, 1) is
    v - c * clamp(min(k, 4 - k), 0, 1), k = (n + h) mod 6: HSV to RGB without branches.
    """
    red, green, blue = images.unbind(1)
    value = torch.maximum(torch.maximum(red, green), blue)
    chroma = value - torch.minimum(torch.minimum(red, green), blue)
    scale = chroma.clamp_min(1e-12).reciprocal_()
    hue = torch.where(
        value == red,
        (green - blue) * scale,
        torch.where(value == green, (blue - red) * scale + 2, (red - green) * scale + 4),
    )
    hue += shift.view(-1, 1, 1) * 6
    offsets = torch.tensor((5.0, 3.0, 1.0), device=images.device).view(1, 3, 1, 1)
    k = hue.unsqueeze(1) + offsets
    k -= (k / 6).floor_() * 6  # remainder, but vectorised
    weight = torch.minimum(k, 4 - k).clamp_(0, 1)
    return torch.addcmul(value.unsqueeze(1), weight, chroma.unsqueeze(1), value=-1)


def grayscale(images: Tensor, chosen: Tensor) -> Tensor:
    """Replace the images marked in `chosen`, bool (B,), by their luma."""
    return torch.where(chosen.view(-1, 1, 1, 1), gray(images), images)
