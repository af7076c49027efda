"""What a pretraining run asks of its images: batches by plan, a size, an identity."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from mmbench.data.images.sides import Sides
from mmbench.file_names import printable

MUCH = 2  # images this many times as large as a view lose most of their detail
USUAL_SIZE = 224  # pixels a side of a view of a photograph


class Part(NamedTuple):
    """What one process needs for one pass: image indices, int64 (B,), of an epoch (from 0)."""

    epoch: int
    indices: Tensor


class EpochOrders:
    """The order of the images in each epoch: the e-th permutation that a seeded generator draws.

    It is a function of seed and epoch, so going on needs no more than the number of the step.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed
        self._epoch = -1

    def of(self, epoch: int) -> Tensor:
        """Return the order (count,) of an epoch."""
        if epoch < self._epoch or self._epoch < 0:
            self._generator, self._epoch = Generator().manual_seed(self.seed), -1
        while self._epoch < epoch:
            self._order = torch.randperm(self.count, generator=self._generator)
            self._epoch += 1
        return self._order


class ImageSource(ABC):
    """The images of one run.

    Attributes:
        name: of the data set.
        fingerprint: identity of the data.
        image_size: side of a view in pixels.
        sides: how large the images are before anything is decoded; None where no file's header can be read.
        crop_pct: the share of an image's short side that evaluation looks at: 1 where images are not larger
            than a view, as evaluation does it.
        unreadable: paths of images that were left out, in the order in which they were met.
    """

    name: str
    fingerprint: str
    image_size: int
    sides: Sides | None
    crop_pct: float
    unreadable: list[str]

    @property
    def small(self) -> bool:
        """Whether images are not larger than a view."""
        return self.sides is not None and self.sides.median <= self.image_size

    def __str__(self) -> str:
        """Return what is trained on, such as "28 px files"; it is recorded with the run's settings."""
        return "of unknown size" if self.sides is None else str(self.sides)

    def remarks(self) -> list[str]:
        """Return a line where images are shrunk so much that most of what they show is lost."""
        if self.sides is None or self.sides.median < MUCH * self.image_size:
            return []
        larger = min(USUAL_SIZE, self.sides.median // 32 * 32)
        return [
            f"{self.sides} are trained at {self.image_size} px, so most detail is lost; "
            f"train at a larger size by --set image_size={larger}"
        ]

    def paths(self) -> Sequence[str]:
        """Return the paths of the images, where they are read as they are needed."""
        return ()

    def recall(self, listed: Sequence[str]) -> None:
        """Take over the images that an earlier session left out.

        Args:
            listed: their paths as that one printed them, which are not always the paths themselves.
        """
        new = dict.fromkeys(listed).keys() - set(map(printable, self.unreadable))
        if not new:
            return
        originals = {name: path for path in self.paths() if (name := printable(path)) in new}
        self.unreadable += [originals.get(name, name) for name in dict.fromkeys(listed) if name in new]

    def counts(self) -> dict[str, int]:
        """Return how many images took which way in this session, by names for the run's metrics."""
        return {}

    def closing_remarks(self) -> list[str]:
        """Return what a person should know of how the images of this session were read."""
        return []

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batches(self, plan: Iterable[Part]) -> Iterator[Tensor]:
        """Yield the images of each part, on the run's device.

        Either whole images, uint8 (B, 3, H, W), or pairs of crops of them, uint8 (2, B, 3, S, S).
        """

    @abstractmethod
    def samples(self, count: int) -> Tensor:
        """Return up to `count` images for people to look at, evenly spread: uint8 (N, 3, H, W)."""


def spread(total: int, count: int) -> Tensor:
    """Return up to `count` indices below `total`, evenly spread: where sorted by class, of many classes."""
    return torch.linspace(0, total - 1, min(count, total)).round().long()
