"""MSCN-style masking, recipe after Chin et al. (arXiv 2309.12757) without its saliency part.

The authors of Masked Siamese ConvNets (arXiv 2206.07700) released no code; this follows
joycenerd/Saliency-Guided-Masking-for-ConvNets, commit c6e62b8: normalise, high-pass both views, mask the
query only.
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from pydantic import model_validator
from torch import Generator, Tensor

from mmbench.images.preprocessing import high_pass_for
from mmbench.pretrain.mask_generators import focal_mask, random_share_cells, uniform, upsample
from mmbench.pretrain.masking import MASKINGS, Masked, Masking, MaskingSettings
from mmbench.settings.types import Deviation, GridCells, PositiveShare, Share


class MscnSettings(MaskingSettings):
    """The mixture of masks.

    Attributes:
        grid: cells per side (7 at 224 px).
        min_share, max_share: the masked share of cells is drawn per image from U[min, max].
        focal, spatial, channelwise: how often each kind of mask is drawn; they add up to 1.
        focal_side: side of the kept crop as a share of the image's (200 of 224 px).
        noise_std: standard deviation of the zero-mean Gaussian filling.
    """

    CELLS: ClassVar[str | None] = "grid"

    grid: GridCells = 7
    min_share: Share = 0.05
    max_share: Share = 0.25
    focal: Share = 0.2
    spatial: Share = 0.24
    channelwise: Share = 0.56
    focal_side: PositiveShare = 200 / 224
    noise_std: Deviation = 0.18

    @model_validator(mode="after")
    def _shares_add_up(self) -> MscnSettings:
        if abs(self.focal + self.spatial + self.channelwise - 1) > 1e-6:
            raise ValueError("focal, spatial and channelwise must add up to 1")
        if self.min_share > self.max_share:
            raise ValueError("min_share must not exceed max_share")
        return self


@MASKINGS.register("mscn")
class Mscn(Masking):
    """Focal, spatial or channel-wise mask filled with noise; the masked view is the query."""

    Settings: ClassVar[type[MaskingSettings]] = MscnSettings
    keeps_clean_query = False

    def __init__(self, settings: MaskingSettings, image_size: int) -> None:
        self.settings = cast(MscnSettings, settings)
        self.high_pass = high_pass_for(image_size)

    def draw(self, batch: int, size: tuple[int, int], generator: Generator) -> Tensor:
        """Return masks (B, 3, H, W), 1 where the image is kept."""
        chosen = self.settings
        kind = torch.rand((batch, 1, 1, 1), generator=generator, device=generator.device)
        share = uniform((batch,), chosen.min_share, chosen.max_share, generator)
        gaps = random_share_cells((batch, 3, chosen.grid, chosen.grid), share, generator)
        kept = upsample(~gaps, size).float()
        focal = focal_mask(batch, size, chosen.focal_side, generator)
        spatial = kept[:, :1]
        mask = torch.where(kind < chosen.focal + chosen.spatial, spatial, kept)
        return torch.where(kind < chosen.focal, focal, mask)

    def __call__(self, images: Tensor, generator: Generator) -> tuple[Masked, ...]:
        """Mask filtered images."""
        height, width = images.shape[-2:]
        mask = self.draw(len(images), (height, width), generator)
        noise = torch.randn(images.shape, generator=generator, device=generator.device)
        filled = torch.where(mask > 0, images, noise * self.settings.noise_std)
        return (Masked(filled, mask, mask.mean((1, 2, 3))),)
