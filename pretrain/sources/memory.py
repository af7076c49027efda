"""Images that fit into memory: decoded once, kept on the device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from mmbench.data import ImageSplit
from mmbench.data.images.sides import Sides
from mmbench.pretrain.sources.base import ImageSource, Part, spread


class MemorySource(ImageSource):
    """Decoded images on the device; of image files the centre squares."""

    def __init__(
        self,
        name: str,
        split: ImageSplit,
        fingerprint: str,
        image_size: int,
        device: torch.device,
        unreadable: list[str],
        sides: Sides | None,
    ) -> None:
        self.name, self.sides = name, sides
        self.images = split.images.to(device)
        self.fingerprint = fingerprint
        self.image_size = image_size
        self.crop_pct = 1.0 if self.small else min(1.0, image_size / min(split.images.shape[-2:]))
        self.unreadable = unreadable

    @property
    def lost(self) -> float:
        """Share of the pixels of the median file that is never trained on; 0 where that is not much."""
        sides = self.sides
        return 1 - sides.in_square if sides is not None and sides.files and sides.much_cut else 0.0

    def __str__(self) -> str:
        """Return what is trained on; where much of the images is cut away, that too."""
        cut = f", centre squares; the median image loses {self.lost:.0%} of its pixels" if self.lost else ""
        return f"{super().__str__()}{cut}"

    def remarks(self) -> list[str]:
        """Return also a line where much of the images is never trained on."""
        lines = super().remarks()
        if self.lost:
            lines.append(
                "images are decoded once, into memory, and only the centre square of each is trained on: the "
                f"median image loses {self.lost:.0%} of its pixels; for crops of whole images: "
                "--set loading=files"
            )
        return lines

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, plan: Iterable[Part]) -> Iterator[Tensor]:
        """Yield whole images."""
        for part in plan:
            yield self.images[part.indices.to(self.images.device)]

    def samples(self, count: int) -> Tensor:
        """Return some of them."""
        return self.images[spread(len(self), count).to(self.images.device)]
