"""Images that fit into memory: decoded once, kept on the device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from mmbench.data import ImageSplit
from mmbench.data.sides import Sides
from mmbench.pretrain.sources.base import ImageSource, Part, spread


class MemorySource(ImageSource):
    """Decoded images on the device."""

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

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, plan: Iterable[Part]) -> Iterator[Tensor]:
        """Yield whole images."""
        for part in plan:
            yield self.images[part.indices.to(self.images.device)]

    def samples(self, count: int) -> Tensor:
        """Return some of them."""
        return self.images[spread(len(self), count).to(self.images.device)]
