"""Masking `halves`: the left half in one branch, the right half in the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Generator, Tensor

from mmbench.pretrain.masking import MASKINGS, Masked, Masking, MaskingSettings


@MASKINGS.register("halves")
class Halves(Masking):
    """Each branch keeps one half of every image; the other half is 0."""

    Settings: ClassVar[type[MaskingSettings]] = MaskingSettings
    branches: ClassVar[Mapping[str, str]] = {"left": "left half", "right": "right half"}
    keeps_clean_query = False

    def __init__(self, settings: MaskingSettings, image_size: int) -> None:
        self.settings = settings

    def __call__(self, images: Tensor, generator: Generator) -> tuple[Masked, ...]:
        """Return the two halves."""
        left = torch.zeros_like(images[:, :1])
        left[..., : images.shape[-1] // 2] = 1
        return tuple(
            Masked(images * mask, mask, mask.mean(dim=(1, 2, 3)), name=name)
            for name, mask in (("left", left), ("right", 1 - left))
        )
