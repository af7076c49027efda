"""What every stage means by a data set: image splits in memory, and dense scenes on disk."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from torch import Tensor

from mmbench.data.content_hashes import content_digests
from mmbench.data.dense_files import Scenes
from mmbench.errors import UserError
from mmbench.registry import Registry

Split = Literal["train", "val", "test"]
Metric = Literal["top1", "mean_per_class", "mAP"]


@dataclass(frozen=True)
class ImageSplit:
    """One split in memory.

    Attributes:
        images: uint8, (N, 3, H, W), RGB.
        labels: int64, (N,), indices into the data set's classes; of a multi-label set int64 (N, classes):
            1 where the class is there, 0 where it is not, -1 where that is not to count.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the decoded pixels, their shape and the labels."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        digest.update(self.images.contiguous().numpy().data)
        digest.update(self.labels.contiguous().numpy().data)
        return digest.hexdigest()


@dataclass(frozen=True)
class PictureFiles:
    """One split as files, for those who read pictures at another size or not all at once.

    Attributes:
        root: the folder that all paths are below.
        paths: one per picture, relative to `root`.
        labels: as in `ImageSplit`.
    """

    root: Path
    paths: Sequence[str]
    labels: Tensor

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, indices: Tensor) -> PictureFiles:
        """Return the pictures at `indices`; what is known of their contents is not read again."""
        chosen = indices.tolist()
        part = PictureFiles(self.root, [self.paths[index] for index in chosen], self.labels[indices])
        if "contents" in self.__dict__:
            part.__dict__["contents"] = [self.contents[index] for index in chosen]
        return part

    @functools.cached_property
    def contents(self) -> Sequence[bytes]:
        """SHA-256 of each file's bytes, empty where a file cannot be read; see `content_hashes`."""
        return content_digests(self.root, self.paths)

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, contents and labels of the files."""
        digest = hashlib.sha256()
        for path, content, label in zip(self.paths, self.contents, self.labels.tolist(), strict=True):
            digest.update(b"%s\0%s:%s\n" % (os.fsencode(path), content.hex().encode(), str(label).encode()))
        return digest.hexdigest()


Part = TypeVar("Part", ImageSplit, PictureFiles)


@dataclass(frozen=True)
class Dataset:
    """A data set by name.

    Attributes:
        splits: loader per split; a split is decoded when first asked for and then kept.
        files: the same splits as files, where they are pictures on disk.
        scenes: the dense part, where there is one.
        image_size: side in pixels at which the data set's images are fed to a small backbone
            (they may be stored larger, so that crops have room).
        metric: what the field reports on this data set: "top1", "mean_per_class" or "mAP".
        multilabel: whether a picture can show several classes.
        expected: images per split and, called "classes", the number of classes, as the data set's manifest
            gives them; a split with another count is refused. Nothing is compared where it is silent.
        remarks: a line for each thing that was decided when the files were found: which folder is which
            split, what is left out. Every stage prints them, and records hold them.
    """

    name: str
    root: Path
    classes: tuple[str, ...]
    splits: Mapping[str, Callable[[], ImageSplit]]
    image_size: int
    scenes: Scenes | None = None
    files: Mapping[str, Callable[[], PictureFiles]] = field(default_factory=dict)
    metric: Metric = "top1"
    multilabel: bool = False
    expected: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    def split(self, name: Split, fed: int | None = None, stored: int | None = None) -> ImageSplit:
        """Return one split, decoded once per process.

        Args:
            fed: side in pixels at which the images will be fed; where there are files they are decoded for
                it, else it changes nothing. None means `image_size`.
            stored: side in pixels at which files are decoded; None leaves room for crops around `fed`.

        Raises:
            UserError: the data set has no such split, or the split is empty or unreadable.
        """
        self._require(name)
        if name not in self.files:
            return self._decoded(name)
        from mmbench.data.pictures import STORED_OVER_FED, decode  # it needs this module

        if stored is None:
            stored = round(STORED_OVER_FED * (fed or self.image_size))
        if stored == round(STORED_OVER_FED * self.image_size):
            return self._decoded(name)
        key = f"{name} at {stored}"
        if key not in self._cache:
            self._cache[key] = self._checked(name, decode(self.files[name](), stored))
        return self._cache[key]

    def _require(self, name: str) -> None:
        if name not in self.splits:
            raise UserError(
                f"data set '{self.name}' at {self.root} has no {name} split "
                f"(it has: {', '.join(sorted(self.splits)) or 'none'})"
            )

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the fingerprints of all splits; where they are files, those of the files."""
        parts = [f"{name}:{self._part(name).fingerprint}" for name in sorted(self.splits)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def labels(self, name: Split) -> Tensor:
        """Return the labels of one split, without decoding a picture where there are files.

        Raises:
            UserError: see `split`; labels that name no class.
        """
        self._require(name)
        return self._part(name).labels

    def _part(self, name: str) -> ImageSplit | PictureFiles:
        return self._checked(name, self.files[name]()) if name in self.files else self._decoded(name)

    def require_scenes(self) -> Scenes:
        """Return the dense part.

        Raises:
            UserError: the data set is for classification only.
        """
        if self.scenes is None:
            raise UserError(
                f"data set '{self.name}' has no boxes or masks; use one that has, such as patterns"
            )
        return self.scenes

    @functools.cached_property
    def _cache(self) -> dict[str, ImageSplit]:
        return {}

    def _decoded(self, name: str) -> ImageSplit:
        if name not in self._cache:
            self._cache[name] = self._checked(name, self.splits[name]())
        return self._cache[name]

    def _checked(self, name: str, part: Part) -> Part:
        """Return `part` if its labels name classes and it is as large as it should be.

        Raises:
            UserError: another number of images or classes than the manifest's; a label out of range, or
                another kind of labels than the data set's.
        """
        labels, count = part.labels, len(self.classes)
        check_count(self.name, self.root, "classes", count, self.expected.get("classes"))
        check_count(self.name, self.root, f"{name} images", len(part), self.expected.get(name))
        low, high = (-1, 1) if self.multilabel else (0, count - 1)
        shaped = labels.shape == ((len(part), count) if self.multilabel else (len(part),))
        if not shaped:
            raise UserError(
                f"labels of shape {tuple(labels.shape)} in the {name} split of '{self.name}' do not fit "
                f"{len(part)} images and {count} classes; mend the files in {self.root}"
            )
        if len(labels) and (int(labels.min()) < low or int(labels.max()) > high):
            bad = int(labels.max()) if int(labels.max()) > high else int(labels.min())
            raise UserError(
                f"label {bad} in the {name} split of '{self.name}' names none of its {count} classes; "
                f"mend the files in {self.root}"
            )
        return part


def check_count(name: str, root: Path, what: str, found: int, expected: int | None) -> None:
    """Compare a count with the manifest's, if that gives one.

    Raises:
        UserError: they differ.
    """
    if expected is not None and found != expected:
        raise UserError(
            f"{name} in {root} has {found} {what} where its manifest says {expected}; the archive is "
            "incomplete or another one, unpack it again"
        )


DatasetLoader = Callable[[Path], Dataset]

# name -> loader(folder of that data set). A new data set is one new module in mmbench.data.
DATASETS: Registry[DatasetLoader] = Registry("data set", package="mmbench.data")

# name -> fetch it into the folder of that data set, through torchvision, and check its digest.
DOWNLOADERS: Registry[Callable[[Path], None]] = Registry("data set to download", package="mmbench.data")
