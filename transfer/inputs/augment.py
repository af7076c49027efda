"""The one augmentation of supervised transfer: random resized crops and flips, batched on tensors."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from mmbench.images.crop_rule import CropRule
from mmbench.images.crops import Crops, draw_crops, resized_crops


def augment(
    images: Tensor,
    size: int,
    rule: CropRule,
    generator: Generator,
    device: torch.device,
    own: slice = slice(None),
) -> Tensor:
    """Return one random crop per image, half of them mirrored, on `device`.

    Args:
        images: uint8, (B, 3, H, W).
        size: side of the result in pixels.
        rule: what the crops are drawn from.
        generator: on the CPU, so that every device sees the same crops.
        own: which images are cut out; the draws are for all, so that processes that share a batch agree.

    Returns:
        float32, (own images, 3, size, size), in [0, 1].
    """
    height, width = images.shape[-2:]
    crops = draw_crops(len(images), (height, width), rule, generator)
    flipped = torch.rand(len(images), generator=generator) < 0.5
    on_device = Crops(*(field[own].to(device) for field in crops))
    return resized_crops(images[own].to(device), on_device, size, flipped[own].to(device))
