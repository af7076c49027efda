"""The pictures of one split as the classification tasks see them: from memory, or from files by workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from mmbench.data import Dataset, ImageFiles, ImageSplit
from mmbench.data.ahead import read_batches
from mmbench.data.decoding import read_image
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.preprocessing import centre_crop
from mmbench.transfer.inputs.framing import FIRST_VERSIONS, RESIZED_OVER_FED, Framing, FramingRule

LARGEST_IN_MEMORY = 64  # px: larger pictures are cropped from their files, as the published protocols do


class Images(ABC):
    """One split, labelled.

    Attributes:
        labels: as in `ImageSplit`.
        fingerprint: identity of what evaluation sees, apart from preprocessing.
        size: side in pixels of what the backbone is fed.
    """

    labels: Tensor
    fingerprint: str
    size: int

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def middles(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield for each tensor of indices what evaluation sees: uint8 (B, 3, size, size).

        Raises:
            UserError: a picture cannot be read.
        """

    @abstractmethod
    def subset(self, indices: Tensor) -> Images:
        """Return the pictures at `indices`."""


class MemoryImages(Images):
    """Decoded pictures.

    Attributes:
        images: uint8 (N, 3, H, W), a little larger than they are fed.
    """

    def __init__(self, split: ImageSplit, size: int) -> None:
        self.split, self.images, self.labels, self.size = split, split.images, split.labels, size

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        """SHA-256 of pixels and labels."""
        return self.split.fingerprint

    def middles(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the middle of the stored images; smaller images are enlarged."""
        for indices in batches:
            yield centre_crop(self.images[indices], self.size)

    def subset(self, indices: Tensor) -> MemoryImages:
        """Return the pictures at `indices`."""
        return MemoryImages(ImageSplit(self.images[indices], self.labels[indices]), self.size)


class FileImages(Images):
    """Images on disk, read when they are needed.

    Attributes:
        resized: short side in pixels that the middle is cut out of; by default 256/224 of the size.
    """

    def __init__(self, files: ImageFiles, size: int, workers: int, resized: int | None = None) -> None:
        self.files, self.labels, self.size, self.workers = files, files.labels, size, workers
        self.usual = round(size * RESIZED_OVER_FED)
        self.resized = self.usual if resized is None else resized

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        """SHA-256 of names, contents and labels, and the size at which pictures are fed.

        Where they are resized to another size than usual, that too.
        """
        resized = "" if self.resized == self.usual else f"-{self.resized}"
        return f"{self.files.fingerprint}-{self.size}{resized}"

    def middles(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the middle of each picture after its short side was resized."""
        yield from read_ahead(_Middles(self), batches, self.workers)

    def subset(self, indices: Tensor) -> FileImages:
        """Return the pictures at `indices`."""
        return FileImages(self.files.subset(indices), self.size, self.workers, self.resized)

    def path(self, index: int) -> Path:
        """Return where a picture is."""
        return self.files.root / self.files.paths[index]


class _Middles(TorchDataset[Any]):
    """What evaluation sees of each picture; an error is handed back instead of raised in a worker."""

    def __init__(self, pictures: FileImages) -> None:
        self.pictures = pictures
        self.stored = pictures.resized

    def __getitem__(self, index: int) -> Tensor | str:
        try:
            image = torch.from_numpy(read_image(self.pictures.path(index), self.stored).copy())
        except UserError as error:
            return str(error)
        return centre_crop(image.permute(2, 0, 1)[None], self.pictures.size)[0]


def _stack(found: list[Tensor | str]) -> Tensor | str:
    """Return a batch, or the first error in it; empty where this process has no part of the batch."""
    if not found:
        return torch.empty(0)
    for item in found:
        if isinstance(item, str):
            return item
    return torch.stack([item for item in found if isinstance(item, Tensor)])


def read_ahead(pictures: TorchDataset[Any], batches: Iterable[Any], workers: int) -> Iterator[Tensor]:
    """Yield batches of `pictures`, read by `workers` processes ahead of their use.

    Args:
        pictures: gives a tensor, or the words of an error, for each key.
        batches: lists of keys (or tensors of indices).

    Raises:
        UserError: the words of the first error.
    """
    keys = (keys.tolist() if isinstance(keys, Tensor) else keys for keys in batches)
    for found in read_batches(
        pictures,
        keys,
        workers,
        _stack,
        pin_memory=torch.cuda.is_available(),
    ):
        if isinstance(found, str):
            raise UserError(found)
        yield found


def framing_of(dataset: Dataset, name: Split, size: int, rule: FramingRule) -> Framing:
    """Return how the pictures of one split become what a backbone is fed, `size` pixels."""
    return rule.framing(dataset, name, size, from_files=size > LARGEST_IN_MEMORY)


def open_images(
    dataset: Dataset, name: Split, size: int, workers: int, rule: FramingRule = FIRST_VERSIONS
) -> Images:
    """Return one split of `dataset` for a backbone that is fed `size` pixels.

    Images that are files are read from them where the backbone wants more than 64 px: decoded once and
    kept they would be gigabytes, and training crops are to come from whole pictures.

    Raises:
        UserError: there is no such split, or it cannot be read.
    """
    if name not in dataset.files:
        return MemoryImages(dataset.split(name), size)
    dataset.labels(name)  # checked
    framing = framing_of(dataset, name, size, rule)
    if size > LARGEST_IN_MEMORY:
        return FileImages(dataset.files[name](), size, workers, framing.resized)
    return MemoryImages(dataset.split(name, size, framing.resized), size)
