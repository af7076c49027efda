"""The grid mask that MixMask and its erase control share, so that they differ in the filling alone."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import model_validator
from torch import Generator, Tensor

from mmbench.pretrain.mask_generators import MIN_BLOCK_CELLS, grid_mask
from mmbench.pretrain.masking import MaskingSettings
from mmbench.settings.types import Flag, GridCells, Within


class GridSettings(MaskingSettings):
    """A random grid mask.

    Attributes:
        kind: "discrete" draws every cell by itself, "block" adds BEiT's blocks.
        grid: cells per side.
        ratio: share of cells that keep the image's own pixels.
        per_sample: one mask per image, or one per batch.
    """

    CELLS: ClassVar[str | None] = "grid"

    kind: Literal["discrete", "block"] = "discrete"
    grid: GridCells = 4
    ratio: Annotated[float, Within(0.05, 0.95)] = 0.5
    per_sample: Flag = True

    @model_validator(mode="after")
    def _block_has_room(self) -> GridSettings:
        if self.kind == "block" and (self.grid < 4 or int(self.ratio * self.grid**2) < MIN_BLOCK_CELLS):
            raise ValueError(
                f"block masks need a grid of at least 4 and at least {MIN_BLOCK_CELLS} kept cells, "
                f"not grid {self.grid} with ratio {self.ratio}"
            )
        return self

    def draw(self, images: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return mask (B, 1, H, W) and lam (B,) for images (B, C, H, W)."""
        height, width = images.shape[-2:]
        return grid_mask(
            len(images),
            (height, width),
            generator,
            kind=self.kind,
            grid=self.grid,
            ratio=self.ratio,
            per_sample=self.per_sample,
        )
