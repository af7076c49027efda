"""Where a run's images come from: memory, or files that worker processes decode and crop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from mmbench.data import Dataset, ImageSplit
from mmbench.data.decoding import STORED_OVER_FED, decode
from mmbench.data.sides import Sides, sides, sides_of_files
from mmbench.errors import UserError
from mmbench.pretrain.config import PretrainConfig

MUCH = 2  # times as large as a view: then images are shrunk much
USUAL_SIZE = 224  # of views of photographs
MEMORY_LIMIT = 4 * 2**30  # bytes of decoded pictures; above it they are read as they are needed


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
        unreadable: paths of pictures that were left out, in the order in which they were met.
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

    def remarks(self) -> list[str]:
        """Return a line where images are shrunk so much that most of what they show is lost."""
        if self.sides is None or self.sides.median < MUCH * self.image_size:
            return []
        larger = min(USUAL_SIZE, self.sides.median // 32 * 32)
        return [
            f"{self.sides} are trained at {self.image_size} px, so most detail is lost; "
            f"train at a larger size by --set image_size={larger}"
        ]

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batches(self, plan: Iterable[Part]) -> Iterator[Tensor]:
        """Yield the images of each part, on the run's device.

        Either whole pictures, uint8 (B, 3, H, W), or pairs of crops of them, uint8 (2, B, 3, S, S).
        """

    @abstractmethod
    def samples(self, count: int) -> Tensor:
        """Return up to `count` pictures for people to look at, evenly spread: uint8 (N, 3, H, W)."""


class MemorySource(ImageSource):
    """Decoded pictures on the device."""

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
        """Yield whole pictures."""
        for part in plan:
            yield self.images[part.indices.to(self.images.device)]

    def samples(self, count: int) -> Tensor:
        """Return some of them."""
        return self.images[spread(len(self), count).to(self.images.device)]


def spread(total: int, count: int) -> Tensor:
    """Return up to `count` indices below `total`, evenly spread: where sorted by class, of many classes."""
    return torch.linspace(0, total - 1, min(count, total)).round().long()


def open_source(config: PretrainConfig, dataset: Dataset, device: torch.device) -> ImageSource:
    """Return the train split of `dataset` as the configuration wants it.

    Data sets that are files are decoded into memory if that takes at most MEMORY_LIMIT; a picture that cannot
    be read is left out. `config.loading` decides otherwise.

    Raises:
        UserError: no train split, "files" for a data set that has none, or too many unreadable pictures.
    """
    from mmbench.pretrain.file_source import FileSource, check_unreadable

    size = config.image_size or dataset.image_size
    if "train" not in dataset.files:
        if config.loading == "files":
            raise UserError(
                f"data set '{dataset.name}' is not read from files; leave --set loading=files away"
            )
        whole = dataset.split("train")
        known = sides(dataset, "train")
        return MemorySource(dataset.name, whole, dataset.fingerprint, size, device, [], known)
    files = dataset.files["train"]()
    stored = round(size * STORED_OVER_FED)
    fits = len(files) * 3 * stored**2 <= MEMORY_LIMIT
    if config.loading == "files" or (config.loading == "auto" and not fits):
        return FileSource(dataset.name, files, size, config, device)
    unreadable: list[str] = []
    split = decode(files, stored, unreadable)
    check_unreadable(unreadable, len(files), str(files.root))
    return MemorySource(
        dataset.name, split, files.fingerprint, size, device, unreadable, sides_of_files(files)
    )
