"""Data sets of image files that torchvision finds: manifest, order, splits and errors.

A `Reader` states which torchvision class reads a data set, and where that class keeps paths and labels. The
manifest states which official part every split comes from. No file is listed before labels are needed.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mmbench.data.dataset import DATASETS, Dataset, check_count
from mmbench.data.downloads import DOWNLOADS
from mmbench.data.manifest import Manifest, require_manifest
from mmbench.data.sets.drawn_splits import drawn
from mmbench.data.types import ImageFiles, Split
from mmbench.errors import UserError
from mmbench.file_names import counted


def _read_errors() -> tuple[type[Exception], ...]:
    """Return what torchvision's readers raise on files that are missing, truncated or of another kind."""
    from scipy.io.matlab import MatReadError

    usual = (RuntimeError, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError)
    return (*usual, MatReadError)


def how_to_get(known: Manifest, root: Path) -> str:
    """Return what a user can do to have the data set in `root`."""
    by_hand = f"put {known.obtain} into {root}"
    if known.name not in DOWNLOADS:
        return by_hand
    return f"{by_hand}, or run: mmbench data prepare {known.name} --data-root {root.parent} --download"


def opened(known: Manifest, root: Path, folder: str, read: Callable[[], Any]) -> Any:
    """Return what torchvision reads.

    Args:
        known: the data set's manifest.
        root: the data set's folder.
        folder: torchvision's own folder below `root`.
        read: opens it with torchvision.

    Raises:
        UserError: the folder is missing; its files are damaged or some of them are missing.
    """
    if not (root / folder).is_dir():
        raise UserError(f"{known.name} is not in {root}; {how_to_get(known, root)}")
    try:
        return read()
    except _read_errors() as error:  # asked for only where something was raised
        message = " ".join(str(error).split("You can use download")[0].split())[:160]
        damaged = damaged_file(known, root)
        when = "" if damaged else "put that right; or, where files are missing or cut off, "
        raise UserError(
            f"{known.name} in {root} cannot be read ({damaged or f'{type(error).__name__}: {message}'}); "
            f"{when}remove {root / folder}, then {how_to_get(known, root)}"
        ) from None


def damaged_file(known: Manifest, root: Path) -> str | None:
    """Return what is wrong with the first file in `root` that does not have the MD5 sum of the manifest."""
    for path, md5 in known.files.items():
        if not (root / path).is_file():
            return f"{path} is missing"
        with (root / path).open("rb") as stream:
            if hashlib.file_digest(stream, "md5").hexdigest() != md5:
                return f"{path} is damaged, its MD5 sum is not {md5}"
    return None


def in_class_order(root: Path, found: Iterable[tuple[str | Path, int]]) -> ImageFiles:
    """Return images sorted by class and then by path.

    Draws then depend on the number of images per class, not on the order of a list or a folder.
    """
    pairs = sorted((int(label), Path(path).relative_to(root).as_posix()) for path, label in found)
    return ImageFiles(
        root, [path for _, path in pairs], torch.tensor([label for label, _ in pairs], dtype=torch.int64)
    )


def require_images(known: Manifest, part: str, files: ImageFiles) -> None:
    """Check that every image exists, with one listing per folder, and is listed once.

    Raises:
        UserError: some are missing, or listed twice; the first is named.
    """
    if repeated := [path for path, count in Counter(files.paths).items() if count > 1]:
        raise UserError(
            f"{counted(len(repeated), 'image')} of {part} of {known.name} listed more than once, the first "
            f"is {repeated[0]}; unpack the archive again"
        )
    folders: dict[Path, set[str]] = {}
    missing = []
    for path in files.paths:
        parent = (files.root / path).parent
        if parent not in folders:
            folders[parent] = _names(parent)
        if path.rpartition("/")[2] not in folders[parent]:
            missing.append(path)
    if missing:
        raise UserError(
            f"{len(missing)} of {len(files)} {part} images of {known.name} are missing from {files.root}, "
            f"the first is {missing[0]}; unpack the archive again"
        )


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()


@dataclass(frozen=True)
class Reader:
    """How torchvision reads one data set of image files.

    Attributes:
        name: as in DATASETS.
        folder: what torchvision makes below the data set's folder.
        read: torchvision's data set from (folder of the data set, official part).
        images: (path, label) pairs of what `read` returned.
        names: the names of the classes in what `read` returned for the part that train comes from.
    """

    name: str
    folder: str
    read: Callable[[Path, str], Any]
    images: Callable[[Any], Iterable[tuple[str | Path, int]]] = lambda source: zip(
        source._image_files, source._labels, strict=True
    )
    names: Callable[[Any], Sequence[str]] = lambda source: source.classes

    def register(self) -> None:
        """Register `dataset` as the data set's loader."""
        DATASETS.register(self.name)(self.dataset)

    def dataset(
        self,
        root: Path,
        classes: Sequence[str] | None = None,
        find: Callable[[Any, str], ImageFiles] | None = None,
    ) -> Dataset:
        """Return the data set in `root`.

        Args:
            root: the data set's folder.
            classes: their names, where they are known before a part is read; by default `names`.
            find: the images of an official part, by default all that `images` yields. It gets what `read`
                returned, and the part.

        Raises:
            UserError: files that are missing or damaged; another number of classes than the manifest's.
        """
        known = require_manifest(self.name)

        @functools.cache
        def source(part: str) -> Any:
            return opened(known, root, self.folder, functools.partial(self.read, root, part))

        @functools.cache
        def parts(part: str) -> dict[Split, ImageFiles]:
            opened_part = source(part)
            if find is None:
                files = in_class_order(root / self.folder, self.images(opened_part))
            else:
                files = find(opened_part, part)
            if known.enforced:
                check_count(self.name, root, f"{part} images", len(files), known.official.get(part))
            require_images(known, part, files)
            return {split: files.subset(kept) for split, kept in drawn(known, part, files.labels).items()}

        def files_of(split: Split) -> ImageFiles:
            return parts(known.splits[split].part)[split]

        opened(known, root, self.folder, lambda: None)  # class names may be known without any file
        names = tuple(self.names(source(known.splits["train"].part)) if classes is None else classes)
        expected = known.expected()
        check_count(self.name, root, "classes", len(names), expected.get("classes"))
        return Dataset(
            self.name,
            root,
            names,
            image_size=known.image_size,
            files={split: functools.partial(files_of, split) for split in known.splits},
            metric=known.metric,
            multilabel=known.multilabel,
            expected=expected,
        )
