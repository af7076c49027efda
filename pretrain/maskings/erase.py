"""The erase control: MixMask's masks and MixMask's loss, but the gaps hold nothing.

MixMask's loss has a total weight of 2 (clean query 1, mixed query lam + 1 - lam) and two query passes.
The control keeps both: NCE(q, k) + NCE(q_erased, k), the same grid, ratio and masks. What remains between
the two arms is the filling and the partner's target, at equal cost per step.
"""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import torch
from torch import Generator, Tensor

from mmbench.pretrain.masking import MASKINGS, Masked, Masking, MaskingSettings
from mmbench.pretrain.maskings.grid import GridSettings
from mmbench.settings.types import Deviation


class EraseSettings(GridSettings):
    """The grid, and what the gaps hold.

    Attributes:
        fill: "zero" is the mean colour of the normalisation, "mean" the image's own mean colour, "noise"
            zero-mean Gaussian noise.
        noise_std: standard deviation of "noise", in units of normalised pixels.
    """

    fill: Literal["zero", "mean", "noise"] = "zero"
    noise_std: Deviation = 1.0


@MASKINGS.register("erase")
class Erase(Masking):
    """x_erased = M * x + (1 - M) * fill, compared with the image's key beside the clean query."""

    Settings: ClassVar[type[MaskingSettings]] = EraseSettings
    keeps_clean_query = True

    def __init__(self, settings: MaskingSettings, image_size: int) -> None:
        self.settings = cast(EraseSettings, settings)

    def __call__(self, images: Tensor, generator: Generator) -> tuple[Masked, ...]:
        """Erase part of each image."""
        mask, lam = self.settings.draw(images, generator)
        if self.settings.fill == "noise":
            noise = torch.randn(images.shape, generator=generator, device=generator.device)
            fill = noise * self.settings.noise_std
        elif self.settings.fill == "mean":
            fill = images.mean((2, 3), keepdim=True)
        else:
            fill = images.new_zeros(())
        return (Masked(torch.where(mask > 0, images, fill), mask, lam),)
