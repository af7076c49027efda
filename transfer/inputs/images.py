"""The images of one split as the classification tasks see them: from memory, or from files by workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from mmbench.data import Dataset, ImageFiles, ImageSplit
from mmbench.data.images.ahead import empty_batch, read_batches
from mmbench.data.images.file_crops import centre_crop_of
from mmbench.data.images.sides import sides
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.images.preprocessing import centre_crop
from mmbench.transfer.inputs.framing import FIRST_VERSIONS, RESIZED_OVER_FED, Framing, FramingRule

LARGEST_IN_MEMORY = 64  # px: larger images are cropped from their files, as the published protocols do


class Images(ABC):
    """One split, labelled.

    Attributes:
        labels: as in `ImageSplit`.
        fingerprint: identity of the evaluated pixels, before preprocessing.
        size: side in pixels of what the backbone is fed.
    """

    labels: Tensor
    fingerprint: str
    size: int

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def centre_crops(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield for each tensor of indices the evaluated crops: uint8 (B, 3, size, size).

        Raises:
            UserError: an image cannot be read.
        """

    @abstractmethod
    def subset(self, indices: Tensor) -> Images:
        """Return the images at `indices`."""


class MemoryImages(Images):
    """Images in memory; those that were identified before are decoded when they are first used."""

    def __init__(self, split: ImageSplit, size: int) -> None:
        self.split, self.labels, self.size = split, split.labels, size

    @property
    def images(self) -> Tensor:
        """uint8 (N, 3, H, W), a little larger than they are fed."""
        return self.split.images

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        """SHA-256 of pixels and labels."""
        return self.split.fingerprint

    def centre_crops(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the centre crops of the stored images; smaller images are enlarged."""
        for indices in batches:
            yield centre_crop(self.images[indices], self.size)

    def subset(self, indices: Tensor) -> MemoryImages:
        """Return the images at `indices`."""
        return MemoryImages(ImageSplit(self.images[indices], self.labels[indices]), self.size)


class FileImages(Images):
    """Images on disk, read when they are needed.

    Attributes:
        resized: short side in pixels before the centre crop; by default 256/224 of the size.
    """

    def __init__(self, files: ImageFiles, size: int, workers: int, resized: int | None = None) -> None:
        self.files, self.labels, self.size, self.workers = files, files.labels, size, workers
        self.usual = round(size * RESIZED_OVER_FED)
        self.resized = self.usual if resized is None else resized

    @property
    def fingerprint(self) -> str:  # type: ignore[override]
        """SHA-256 of names, contents and labels, and the size at which images are fed.

        Where they are resized to another size than usual, that too.
        """
        resized = "" if self.resized == self.usual else f"-{self.resized}"
        return f"{self.files.fingerprint}-{self.size}{resized}"

    def centre_crops(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Yield the centre crop of each image after its short side was resized."""
        yield from read_ahead(_CentreCrops(self), batches, self.workers)

    def subset(self, indices: Tensor) -> FileImages:
        """Return the images at `indices`."""
        return FileImages(self.files.subset(indices), self.size, self.workers, self.resized)


class EqualImages(TorchDataset[Any]):
    """Images of one size, read in whole batches; an error is returned instead of raised in a worker.

    Args:
        height, width: of an image.
    """

    def __init__(self, height: int, width: int) -> None:
        self.shape = (3, height, width)

    @abstractmethod
    def read(self, key: Any, into: Tensor) -> None:
        """Write the image of a key into `into`, uint8 (3, H, W).

        Raises:
            UserError: it cannot be read.
        """

    def __getitems__(self, keys: list[Any]) -> Tensor | str:
        """Return a batch (B, 3, H, W), or the first error in it; B is 0 where a process has no part of it."""
        batch = empty_batch(len(keys), *self.shape)
        try:
            for key, image in zip(keys, batch, strict=True):
                self.read(key, image)
        except UserError as error:
            return str(error)
        return batch


class _CentreCrops(EqualImages):
    """The centre crop of each image."""

    def __init__(self, images: FileImages) -> None:
        super().__init__(images.size, images.size)
        self.images = images

    def read(self, key: int, into: Tensor) -> None:
        centre_crop_of(self.images.files.place(key), self.images.resized, into)


def read_ahead(images: EqualImages, batches: Iterable[Any], workers: int) -> Iterator[Tensor]:
    """Yield batches of `images`, read by `workers` processes ahead of their use.

    Args:
        batches: lists of keys (or tensors of indices).

    Raises:
        UserError: the first error.
    """
    keys = (keys.tolist() if isinstance(keys, Tensor) else keys for keys in batches)
    pin = torch.cuda.is_available()
    crops: Iterator[Tensor | str] = read_batches(images, keys, workers, pin_memory=pin)
    for found in crops:
        if isinstance(found, str):
            raise UserError(found)
        yield found


def framing_of(dataset: Dataset, name: Split, size: int, rule: FramingRule) -> Framing:
    """Return how the images of one split are framed for a backbone that is fed `size` pixels."""
    return rule.framing(dataset, name, size, from_files=size > LARGEST_IN_MEMORY)


def crop_remarks(dataset: Dataset, size: int) -> tuple[str, ...]:
    """Return a line where training crops come from squares that lack much of the images.

    Args:
        size: side in pixels of what the backbone is fed.
    """
    if size > LARGEST_IN_MEMORY or "train" not in dataset.files:
        return ()
    found = sides(dataset, "train")
    if found is None or not found.much_cut:
        return ()
    return (
        f"training crops come from the centre squares of the images, as always at {LARGEST_IN_MEMORY} px and "
        f"below: the median image loses {1 - found.in_square:.0%} of its pixels; crops of whole images "
        f"take weights that are fed more than {LARGEST_IN_MEMORY} px",
    )


def open_images(
    dataset: Dataset, name: Split, size: int, workers: int, rule: FramingRule = FIRST_VERSIONS
) -> Images:
    """Return one split of `dataset` for a backbone that is fed `size` pixels.

    Image files are read when needed where the backbone is fed more than 64 px: decoded, they would take
    gigabytes of memory, and training crops must come from whole images.

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
