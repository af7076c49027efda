"""How a folder of images is laid out: which folders are splits, which are classes, and what is neither.

    train/cat/1.png            splits, then classes; split folders in any spelling (Training, valid, test_set)
    cat/1.png                  classes at once
    cat/train/1.png            classes, then splits
    archive/images/...         any of these inside folders that hold nothing else

A layout that could be read in two ways is refused in one line. What was decided is said in `remarks`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from torchvision.datasets.folder import IMG_EXTENSIONS

from mmbench.data.class_folders import ClassFolders, class_folders, require_same_classes
from mmbench.data.dataset import Split
from mmbench.data.file_names import counted, listed, printable
from mmbench.data.folder_scan import Folder, LeftOut
from mmbench.data.split_names import AmbiguousSplits, require_one_each, splits_among
from mmbench.errors import UserError

__all__ = ["FolderLayout", "SplitFolders", "recognise", "training_folders"]

LOOSE = "images beside folders"
ORDER: tuple[Split, ...] = ("train", "val", "test")


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
    """A folder of images as it was understood.

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


@dataclass
class Reading:
    """A layout while it is being understood."""

    root: Path
    left_out: LeftOut
    remarks: list[str] = field(default_factory=list)

    def place(self, folder: Folder) -> str:
        """Return where a folder is, for people."""
        return printable(self.root / folder.path)


def recognise(root: Path, top: Folder, left_out: LeftOut) -> FolderLayout:
    """Return how the labelled images below `root` are laid out.

    Args:
        top, left_out: what `scan` found there.

    Raises:
        UserError: a missing or unreadable folder, or a layout that gives no labels or several readings.
    """
    reading = Reading(root, copy.deepcopy(left_out))
    top = _entered(top, reading)
    splits = _split_folders(top, reading)
    if splits is not None:
        found = {
            split: class_folders(_entered(folder, reading, inside_split=True), reading)
            for split, folder in splits.items()
        }
        bases = {split: folder.path for split, folder in splits.items()}
        _leave_out_others(top, splits, reading)
        return _layout(reading, found, bases, named=True)
    by_class = _splits_inside_classes(top, reading)
    if by_class is not None:
        return _layout(reading, by_class, dict.fromkeys(by_class, top.path), named=True)
    return _layout(reading, {"train": class_folders(top, reading)}, {"train": top.path}, named=False)


def training_folders(root: Path, top: Folder, left_out: LeftOut) -> tuple[list[Folder], Reading]:
    """Return the folders whose images, with or without labels, are for training: the train split, or all.

    Args:
        top, left_out: what `scan` found below `root`.

    Raises:
        UserError: no images; splits among which training images cannot be told.
    """
    whole = Reading(root, left_out)
    if not top.total():
        raise UserError(_nothing_in(top, whole))
    reading = Reading(root, copy.deepcopy(left_out))
    inner = _entered(top, reading)
    splits = _split_folders(inner, reading, only_train=True)
    if splits is not None:
        _leave_out_others(inner, splits, reading)
        return [splits["train"]], reading
    inside = _inner_splits(inner, reading)
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
        if not inner.filled() or any(not other.others for other in folder.folders if other is not inner):
            return folder
        _count_loose(folder, reading)
        for other in folder.folders:
            if other is not inner:
                reading.left_out.add("folders without images", f"{other.path}/")
        reading.remarks.append(f"classes and splits are looked for inside {printable(inner.path)}/")
        folder = inner


def _count_loose(folder: Folder, reading: Reading) -> None:
    """Count the images that lie in a folder beside the folders that are read."""
    for name in folder.images:
        reading.left_out.add(LOOSE, f"{folder.path}/{name}" if folder.path else name)


def _split_folders(top: Folder, reading: Reading, *, only_train: bool = False) -> dict[Split, Folder] | None:
    """Return the folder of each split where the folders of `top` are splits, else None.

    Args:
        only_train: whether other splits may be unclear, as only training images are wanted.

    Raises:
        UserError: two folders for one split; no train folder; a name that may be a split or a class.
    """
    filled = {folder.name: folder for folder in top.filled()}
    named = splits_among([folder.name for folder in top.folders])
    meant = {name: split for name, split in named.items() if name in filled}
    if not meant:
        return None
    claims = {name: split for name, split in meant.items() if split == "train" or not only_train}
    require_one_each(claims, reading.place(top))
    others = [folder for name, folder in filled.items() if name not in meant]
    by_split = {split: filled[name] for name, split in meant.items()}
    if others and not _are_splits(by_split, others, reading):
        return None
    if "train" not in by_split:
        raise AmbiguousSplits(
            f"{reading.place(top)} has {listed(list(meant))} but no train folder; add one, or give the "
            "folder of the images to use"
        )
    empty = [name for name in named if name not in filled]
    if empty and not only_train:
        raise UserError(
            f"split folder {printable(top.path + '/' if top.path else '')}{printable(empty[0])} in "
            f"{printable(reading.root)} has no images; fill it or remove it"
        )
    if any(name != split for name, split in meant.items()):
        reading.remarks.append(f"split folders: {_which_is_which(meant)}")
    return by_split


def _which_is_which(meant: Mapping[str, Split]) -> str:
    in_order = sorted(meant.items(), key=lambda item: ORDER.index(item[1]))
    return ", ".join(f"{printable(name)}/ is {split}" for name, split in in_order)


def _are_splits(by_split: dict[Split, Folder], others: Sequence[Folder], reading: Reading) -> bool:
    """Return whether folders with names like splits are splits although other folders lie beside them.

    One alone is a class with an unlucky name ("train" among vehicles) where images lie in it at once.

    Raises:
        AmbiguousSplits: it could be either.
    """
    if "train" in by_split and len(by_split) > 1:
        return True
    only = next(iter(by_split.values()))
    beside = listed([folder.name for folder in others])
    if len(by_split) == 1 and not only.filled():
        reading.remarks.append(
            f"{printable(only.path)}/ is read as a class, as images lie in it at once and other folders "
            f"beside it ({beside})"
        )
        return False
    if "train" in by_split and not any(folder.filled() for folder in others):
        return True
    names = listed([folder.path for folder in by_split.values()])
    raise AmbiguousSplits(
        f"{names} in {printable(reading.root)} may be a split or a class, as {beside} lie beside it; put the "
        "splits (or the classes) into a folder of their own"
    )


def _leave_out_others(top: Folder, splits: Mapping[Split, Folder], reading: Reading) -> None:
    """Count images that lie beside the split folders.

    Raises:
        AmbiguousSplits: they are more than those in the splits.
    """
    inside = sum(folder.total() for folder in splits.values())
    if len(top.images) > inside:
        raise AmbiguousSplits(
            f"{counted(len(top.images), 'image')} in {reading.place(top)} lie beside the split folders, "
            f"which hold {inside}; move them into one of the splits, or elsewhere"
        )
    _count_loose(top, reading)
    for folder in top.folders:
        if not splits_among([folder.name]) and folder not in splits.values():
            if count := folder.total():
                reading.left_out.add("images in folders beside the splits", f"{folder.path}/", count)
            else:
                reading.left_out.add("folders without images", f"{folder.path}/")


def _inner_splits(top: Folder, reading: Reading) -> dict[str, list[tuple[Folder, Split]]] | None:
    """Return the split folders inside each class folder; None where classes are not divided so.

    Raises:
        AmbiguousSplits: only some classes are, or images lie beside the split folders.
    """
    inside: dict[str, list[tuple[Folder, Split]]] = {}
    divided = []
    for folder in top.filled():
        meant = splits_among([inner.name for inner in folder.filled()])
        require_one_each(meant, reading.place(folder))
        inside[folder.name] = [(inner, meant[inner.name]) for inner in folder.filled() if inner.name in meant]
        if "train" in meant.values() and not folder.images:
            divided.append(folder.name)
        elif len(set(meant.values())) > 1:
            raise AmbiguousSplits(
                f"{reading.place(folder)} holds split folders ({listed(list(meant))}) and "
                f"{'images beside them' if folder.images else 'none for train'}; put every image of the "
                "class into one of them"
            )
    if not divided:
        return None
    if len(divided) < len(inside):
        rest = [name for name in inside if name not in divided]
        raise AmbiguousSplits(
            f"classes in {reading.place(top)} have split folders inside ({listed(divided)}) but others have "
            f"no train folder ({listed(rest)}); divide all classes alike"
        )
    return inside


def _splits_inside_classes(top: Folder, reading: Reading) -> dict[Split, ClassFolders] | None:
    """Return class folders by split where every class folder holds split folders, else None."""
    inside = _inner_splits(top, reading)
    if inside is None or len(inside) < 2:
        return None
    _count_loose(top, reading)
    found: dict[Split, ClassFolders] = {}
    for folder in top.filled():
        for inner, split in inside[folder.name]:
            found.setdefault(split, ClassFolders()).add(folder.name, inner)
        for inner in folder.filled():
            if all(inner is not used for used, _ in inside[folder.name]):
                reading.left_out.add("images in folders beside the splits", f"{inner.path}/", inner.total())
    first = {inner.name: split for inner, split in next(iter(inside.values()))}
    reading.remarks.append(f"split folders inside every class folder: {_which_is_which(first)}")
    return found


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
        for split in sorted(found, key=ORDER.index)
    }
    odd = [
        folder.path
        for parts in splits.values()
        for folders in parts.classes
        for folder in folders
        if PurePosixPath(folder.name).suffix.lower() in IMG_EXTENSIONS
    ]
    if odd:
        reading.remarks.append(f"{counted(len(odd), 'folder')} with an image's name: {listed(odd)}")
    names = tuple(train.names())
    return FolderLayout(reading.root, names, splits, named, reading.left_out, tuple(reading.remarks))
