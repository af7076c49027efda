"""Split folders: where they lie, above the classes or inside them, and what lies beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmbench.data.folder.classes import LOOSE, ClassFolders, Reading
from mmbench.data.folder.scan import Folder
from mmbench.data.folder.split_names import AmbiguousSplits, require_one_each, splits_among
from mmbench.data.types import SPLITS, Split
from mmbench.errors import UserError
from mmbench.file_names import counted, listed, printable


def count_loose(folder: Folder, reading: Reading) -> None:
    """Count the images that lie in a folder beside the folders that are read."""
    for name in folder.images:
        reading.left_out.add(LOOSE, f"{folder.path}/{name}" if folder.path else name)


def split_folders(top: Folder, reading: Reading, *, only_train: bool = False) -> dict[Split, Folder] | None:
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
    in_order = sorted(meant.items(), key=lambda item: SPLITS.index(item[1]))
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


def leave_out_others(top: Folder, splits: Mapping[Split, Folder], reading: Reading) -> None:
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
    count_loose(top, reading)
    for folder in top.folders:
        if not splits_among([folder.name]) and folder not in splits.values():
            if count := folder.total():
                reading.left_out.add("images in folders beside the splits", f"{folder.path}/", count)
            else:
                reading.left_out.add("folders without images", f"{folder.path}/")


def inner_splits(top: Folder, reading: Reading) -> dict[str, list[tuple[Folder, Split]]] | None:
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


def splits_inside_classes(top: Folder, reading: Reading) -> dict[Split, ClassFolders] | None:
    """Return class folders by split where every class folder holds split folders, else None."""
    inside = inner_splits(top, reading)
    if inside is None or len(inside) < 2:
        return None
    count_loose(top, reading)
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
