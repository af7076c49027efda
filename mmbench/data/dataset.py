"""What every stage means by a data set: image splits in memory, and dense scenes on disk."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from mmbench.data.decoding import STORED_OVER_FED, decode
from mmbench.data.dense_files import Scenes
from mmbench.data.types import ImageFiles, ImageSplit, Metric, Split
from mmbench.errors import UserError
from mmbench.registry import Registry

Part = TypeVar("Part", ImageSplit, ImageFiles)


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
    files: Mapping[str, Callable[[], ImageFiles]] = field(default_factory=dict)
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

    def _part(self, name: str) -> ImageSplit | ImageFiles:
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


def dataset_of_files(
    name: str,
    root: Path,
    classes: tuple[str, ...],
    files: Mapping[str, Callable[[], ImageFiles]],
    image_size: int,
    *,
    metric: Metric = "top1",
    multilabel: bool = False,
    expected: Mapping[str, int] | None = None,
    remarks: Sequence[str] = (),
) -> Dataset:
    """Return a data set of pictures on disk; its splits in memory are a little larger than they are fed."""
    stored = round(image_size * STORED_OVER_FED)
    found = {split: functools.lru_cache(maxsize=1)(find) for split, find in files.items()}

    def decoded(split: str) -> ImageSplit:
        return decode(found[split](), stored)

    splits = {split: functools.partial(decoded, split) for split in found}
    return Dataset(
        name,
        root,
        classes,
        splits,
        image_size,
        files=found,
        metric=metric,
        multilabel=multilabel,
        expected=expected or {},
        remarks=tuple(remarks),
    )


DatasetLoader = Callable[[Path], Dataset]

# name -> loader(folder of that data set). A new data set is one new module in mmbench.data.
DATASETS: Registry[DatasetLoader] = Registry("data set", "mmbench.data")

# name -> fetch it into the folder of that data set, through torchvision, and check its digest.
DOWNLOADERS: Registry[Callable[[Path], None]] = Registry("data set to download", "mmbench.data")
