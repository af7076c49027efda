"""Un-Mix (AAAI 2022; szq0214/Un-Mix): mix all of two images, or paste a box of one into the other."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Generator, Tensor

from mmbench.pretrain.masking import MASKINGS, Masked, Masking, MaskingSettings, draw_partners
from mmbench.settings.types import Flag, Share


class UnMixSettings(MaskingSettings):
    """Un-Mix's own numbers.

    Attributes:
        global_share: how often the images are mixed as a whole; otherwise a CutMix box is pasted.
        per_sample: one lambda and one kind per image, or one per batch as in the source.
    """

    global_share: Share = 0.5
    per_sample: Flag = False


@MASKINGS.register("unmix")
class UnMix(Masking):
    """x_mix = M * x + (1 - M) * flip(x); M is lambda everywhere, or 0 in a box and 1 around it."""

    Settings: ClassVar[type[MaskingSettings]] = UnMixSettings
    keeps_clean_query = True

    def __init__(self, settings: MaskingSettings, image_size: int) -> None:
        self.settings = cast(UnMixSettings, settings)

    def draw(self, batch: int, size: tuple[int, int], generator: Generator) -> Tensor:
        """Return masks (B, 1, H, W): lambda ~ Beta(1, 1), that is U(0, 1), as a level or as the kept area."""
        drawn = batch if self.settings.per_sample else 1
        device = generator.device
        numbers = torch.rand((4, drawn, 1, 1, 1), generator=generator, device=device)
        kind, lam, centre_y, centre_x = numbers
        # CutMix: the box has the share 1 - lambda of the area, is centred anywhere, and is cut at the border.
        inside = torch.ones((), dtype=torch.bool, device=device)
        for axis, (centre, length) in enumerate(zip((centre_y, centre_x), size, strict=True)):
            half = ((1 - lam).sqrt() * length).floor().div(2).floor()
            middle = (centre * length).floor()
            place = torch.arange(length, device=device).view((1, 1, -1, 1) if axis == 0 else (1, 1, 1, -1))
            inside = inside & (place >= middle - half) & (place < middle + half)
        mask = torch.where(kind < self.settings.global_share, lam, (~inside).float())
        return mask.expand(batch, 1, *size)

    def __call__(self, images: Tensor, generator: Generator) -> tuple[Masked, ...]:
        """Mix each image with its partner in the reversed batch."""
        height, width = images.shape[-2:]
        mask = self.draw(len(images), (height, width), generator)
        partner = draw_partners(len(images), "flip", generator)
        mixed = torch.lerp(images[partner], images, mask.to(images.dtype))
        return (Masked(mixed, mask, mask.mean((1, 2, 3)), partner),)
