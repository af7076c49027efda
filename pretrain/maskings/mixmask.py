"""MixMask (arXiv 2210.11456): the gaps of an image are filled with another image's pixels."""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import torch
from torch import Generator, Tensor

from mmbench.pretrain.masking import MASKINGS, Masked, Masking, MaskingSettings, draw_partners
from mmbench.pretrain.maskings.grid import GridSettings


class MixMaskSettings(GridSettings):
    """The grid, and who fills the gaps: the reversed batch (paper) or a random permutation."""

    partner: Literal["flip", "permutation"] = "flip"


@MASKINGS.register("mixmask")
class MixMask(Masking):
    """x_mix = M * x + (1 - M) * P(x), compared with the keys of both images beside the clean query."""

    Settings: ClassVar[type[MaskingSettings]] = MixMaskSettings
    keeps_clean_query = True

    def __init__(self, settings: MaskingSettings, image_size: int) -> None:
        self.settings = cast(MixMaskSettings, settings)

    def __call__(self, images: Tensor, generator: Generator) -> tuple[Masked, ...]:
        """Mix each image with its partner."""
        mask, lam = self.settings.draw(images, generator)
        partner = draw_partners(len(images), self.settings.partner, generator)
        return (Masked(torch.where(mask > 0, images, images[partner]), mask, lam, partner),)
