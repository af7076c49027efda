"""The layout of a folder of images: which folders are splits, which are classes, which are neither.

    train/cat/1.png            splits, then classes; split folders in any spelling (Training, valid, test_set)
    cat/1.png                  classes at once
    cat/train/1.png            classes, then splits
    archive/images/...         any of these inside folders that hold nothing else

An ambiguous layout is refused with a one-line error. Decisions are reported in `remarks`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mmbench.data.folder.classes import ClassFolders, Reading, class_folders, require_same_classes
from mmbench.data.folder.scan import Folder, LeftOut
from mmbench.data.folder.split_names import splits_among
from mmbench.data.folder.splits import (
    count_loose,
    inner_splits,
    leave_out_others,
    split_folders,
    splits_inside_classes,
)
from mmbench.data.types import SPLITS, Split
from mmbench.errors import UserError
from mmbench.file_names import IMAGE_ENDINGS, counted, listed, printable

__all__ = ["FolderLayout", "SplitFolders", "recognise", "training_folders"]


@dataclass(frozen=True)
class SplitFolders:
    """One split: the folder that paths are relative to, and the folders of each class.

    Attributes:
        base: relative to the scanned folder; empty for that folder itself.
        classes: in the order of the data set's classes.
    """

    base: str
    classes: tuple[tuple[Folder, ...], ...]


@dataclass(frozen=True)
class FolderLayout:
    """The layout that was recognised.

    Attributes:
        classes: printable names, sorted by the names on disk.
        splits: those that the folder names, or "train" alone where it names none.
        named: whether the folder names its splits.
        left_out: what is not used, counted.
        remarks: a line for each thing that was decided.
    """

    root: Path
    classes: tuple[str, ...]
    splits: Mapping[Split, SplitFolders]
    named: bool
    left_out: LeftOut
    remarks: tuple[str, ...]


def recognise(root: Path, top: Folder, left_out: LeftOut) -> FolderLayout:
    """Return how the labelled images below `root` are laid out.

    Args:
        top, left_out: what `scan` found there.

    Raises:
        UserError: a missing or unreadable folder, or a layout that gives no labels or is ambiguous.
    """
    reading = Reading(root, copy.deepcopy(left_out))
    top = _entered(top, reading)
    splits = split_folders(top, reading)
    if splits is not None:
        found = {
            split: class_folders(_entered(folder, reading, inside_split=True), reading)
            for split, folder in splits.items()
        }
        bases = {split: folder.path for split, folder in splits.items()}
        leave_out_others(top, splits, reading)
        return _layout(reading, found, bases, named=True)
    by_class = splits_inside_classes(top, reading)
    if by_class is not None:
        return _layout(reading, by_class, dict.fromkeys(by_class, top.path), named=True)
    return _layout(reading, {"train": class_folders(top, reading)}, {"train": top.path}, named=False)


def training_folders(root: Path, top: Folder, left_out: LeftOut) -> tuple[list[Folder], Reading]:
    """Return the folders whose images, with or without labels, are for training: the train split, or all.

    Args:
        top, left_out: what `scan` found below `root`.

    Raises:
        UserError: no images; splits in which it is unclear which images are for training.
    """
    whole = Reading(root, left_out)
    if not top.total():
        raise UserError(_nothing_in(top, whole))
    reading = Reading(root, copy.deepcopy(left_out))
    inner = _entered(top, reading)
    splits = split_folders(inner, reading, only_train=True)
    if splits is not None:
        leave_out_others(inner, splits, reading)
        return [splits["train"]], reading
    inside = inner_splits(inner, reading)
    if inside is not None:
        return [folder for parts in inside.values() for folder, split in parts if split == "train"], reading
    return [top], whole


def _nothing_in(top: Folder, reading: Reading) -> str:
    what = reading.left_out.in_words()
    return (
        f"{reading.place(top)} has no class folders and no images; it needs one folder of images per class"
        f"{f' ({what})' if what else ''}"
    )


def _entered(folder: Folder, reading: Reading, *, inside_split: bool = False) -> Folder:
    """Return the folder below which more than one thing lies: wrappers such as archive/images are entered."""
    while True:
        filled = folder.filled()
        if len(filled) != 1 or len(folder.images) > filled[0].total():
            return folder
        inner = filled[0]
        if splits_among([inner.name]) and not inside_split:
            return folder
        # An empty folder beside may be a class that someone forgot to fill; one with other files is none.
        if not inner.filled() or any(
            not other.holds_other_files() for other in folder.folders if other is not inner
        ):
            return folder
        count_loose(folder, reading)
        for other in folder.folders:
            if other is not inner:
                reading.left_out.add("folders without images", f"{other.path}/")
        reading.remarks.append(f"classes and splits are looked for inside {printable(inner.path)}/")
        folder = inner


def _layout(
    reading: Reading, found: Mapping[Split, ClassFolders], bases: Mapping[Split, str], *, named: bool
) -> FolderLayout:
    """Return the finished layout.

    Raises:
        UserError: classes that differ between splits.
    """
    train = found["train"]
    places = {split: printable(reading.root / path) for split, path in bases.items()}
    if len(set(places.values())) < len(places):  # splits inside the class folders
        places = {split: f"{split} folders of {place}" for split, place in places.items()}
    for split, classes in found.items():
        require_same_classes(train, classes, places["train"], places[split])
    merged = ClassFolders()
    for classes in found.values():
        merged.join(classes)
    reading.remarks += merged.remarks()
    order = train.keys()
    splits = {
        split: SplitFolders(bases[split], tuple(tuple(found[split].of(key)) for key in order))
        for split in sorted(found, key=SPLITS.index)
    }
    odd = [
        folder.path
        for parts in splits.values()
        for folders in parts.classes
        for folder in folders
        if PurePosixPath(folder.name).suffix.lower() in IMAGE_ENDINGS
    ]
    if odd:
        reading.remarks.append(f"{counted(len(odd), 'folder')} with an image's name: {listed(odd)}")
    names = tuple(train.names())
    return FolderLayout(reading.root, names, splits, named, reading.left_out, tuple(reading.remarks))
