"""Masking `cutout`: two views of each image, each with one square filled with the mean colour.

Source of the square: DeVries and Taylor 2017 (arXiv 1708.04552). Two branches of the loss are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import torch
from torch import Generator, Tensor

from mmbench.pretrain.masking import MASKINGS, Masked, Masking, MaskingSettings
from mmbench.settings.types import ShareBelowOne


class CutoutSettings(MaskingSettings):
    """Settings of the squares.

    Attributes:
        share: side of the square divided by the side of the image, between 0 and 1.
    """

    share: ShareBelowOne = 0.5


@MASKINGS.register("cutout")
class Cutout(Masking):
    """Two corrupted queries per image, compared with the image's key beside the clean query."""

    Settings: ClassVar[type[MaskingSettings]] = CutoutSettings
    branches: ClassVar[Mapping[str, str]] = {"first": "first square", "second": "second square"}
    keeps_clean_query = True

    def __init__(self, settings: MaskingSettings, image_size: int) -> None:
        self.side = round(cast(CutoutSettings, settings).share * image_size)

    def __call__(self, images: Tensor, generator: Generator) -> tuple[Masked, ...]:
        """Return one branch of the loss per square; images are normalised, so 0 is the mean colour."""
        return tuple(self._cut(images, generator, name) for name in self.branches)

    def _cut(self, images: Tensor, generator: Generator, name: str) -> Masked:
        batch, _, height, width = images.shape
        device = images.device
        top = torch.randint(height - self.side + 1, (batch, 1, 1), generator=generator, device=device)
        left = torch.randint(width - self.side + 1, (batch, 1, 1), generator=generator, device=device)
        rows = torch.arange(height, device=device).view(1, -1, 1)
        columns = torch.arange(width, device=device).view(1, 1, -1)
        in_rows = (rows >= top) & (rows < top + self.side)
        in_columns = (columns >= left) & (columns < left + self.side)
        mask = (~(in_rows & in_columns)).to(images.dtype).unsqueeze(1)  # (B, 1, H, W), 1 where kept
        return Masked(images * mask, mask, lam=mask.mean((1, 2, 3)), name=name)
