"""What random crops of an image may be; light, so that settings are checked without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CropFit = Literal["cut", "redraw"]
ASPECT = (3 / 4, 4 / 3)  # torchvision's default for RandomResizedCrop


@dataclass(frozen=True)
class CropRule:
    """What random crops are drawn from.

    Attributes:
        scale: range of the area, as a share of the image's.
        aspect: range of width / height, log-uniform.
        fit: what becomes of a crop that is wider or taller than the image. "cut" shortens that side to the
            image's, as BYOL's code does (deepmind-research/byol, utils/dataset.py): areas are larger and
            shapes may leave `aspect`. "redraw" draws again, up to ten times, and then takes the largest
            centre crop of an allowed shape, and nothing around a crop has a weight in its pixels, as in
            torchvision's RandomResizedCrop.
    """

    scale: tuple[float, float]
    aspect: tuple[float, float] = ASPECT
    fit: CropFit = "cut"

    @property
    def weighs_around(self) -> bool:
        """Whether pixels around a crop of a file have a weight in its outermost ones, as in Pillow's resize
        of a box. Crops of images in memory never weigh them."""
        return self.fit == "cut"
