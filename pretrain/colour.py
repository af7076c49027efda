"""Colour operations on a batch, one factor per image; each equals torchvision's on single images.

Images are float RGB (B, 3, H, W) in [0, 1], and are changed in place; factors have shape (B,).
"""

from __future__ import annotations

import torch
from torch import Tensor

# ITU-R 601 luma as torchvision rounds it.
LUMA = (0.2989, 0.587, 0.114)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """Return factor * images + (1 - factor) * other, kept in [0, 1]; both are overwritten."""
    factor = factor.view(-1, 1, 1, 1)
    return images.mul_(factor).add_(other.mul_(1 - factor)).clamp_(0, 1)


def gray(images: Tensor) -> Tensor:
    """Return the luma of images: (B, 1, H, W)."""
    red, green, blue = images.unbind(1)
    return (LUMA[0] * red).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2]).unsqueeze(1)


def adjust_brightness(images: Tensor, factor: Tensor) -> Tensor:
    """Blend with black."""
    return images.mul_(factor.view(-1, 1, 1, 1)).clamp_(0, 1)


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
    value = torch.maximum(red, green)
    torch.maximum(value, blue, out=value)
    chroma = torch.minimum(red, green)
    torch.minimum(chroma, blue, out=chroma)
    torch.sub(value, chroma, out=chroma)
    scale = chroma.clamp_min(1e-12).reciprocal_()
    # Ones and zeros instead of truth values, and lerp instead of where: three times as fast on the CPU.
    chosen, other = torch.empty_like(value), torch.empty_like(value)
    hue = (red - green).mul_(scale).add_(4)
    torch.eq(value, green, out=chosen)
    hue.lerp_(torch.sub(blue, red, out=other).mul_(scale).add_(2), chosen)
    torch.eq(value, red, out=chosen)
    hue.lerp_(torch.sub(green, blue, out=other).mul_(scale), chosen)
    hue += shift.view(-1, 1, 1) * 6
    k, weight = scale, chosen  # their memory
    for channel, offset in enumerate((5.0, 3.0, 1.0)):
        torch.add(hue, offset, out=k)
        k -= torch.div(k, 6, out=weight).floor_().mul_(6)  # remainder, but vectorised
        torch.neg(k, out=weight).add_(4)
        torch.minimum(k, weight, out=weight).clamp_(0, 1)
        torch.addcmul(value, weight, chroma, value=-1, out=images[:, channel])
    return images


def grayscale(images: Tensor, chosen: Tensor) -> Tensor:
    """Replace the images marked in `chosen`, bool (B,), by their luma."""
    return images.lerp_(gray(images), chosen.view(-1, 1, 1, 1).to(images.dtype))
