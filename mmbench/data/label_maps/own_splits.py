"""The splits of a user's folder of label maps: by names of folders, by lists, or none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmbench.data.folder.split_names import splits_among
from mmbench.data.label_maps.own_entries import named_pairs
from mmbench.data.label_maps.own_files import File
from mmbench.data.label_maps.own_lists import Lists, find_lists
from mmbench.data.label_maps.own_pairs import Naming, SeveralNamings, find_naming
from mmbench.data.label_maps.types import Pair
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.file_names import counted, listed, printable

Key = tuple[tuple[str, ...], str]  # where an image and its label map lie, and what both are called


@dataclass(frozen=True)
class Matched:
    """Images and label maps, and what of their paths is equal.

    Attributes:
        naming: of their files.
        splits: name of a folder that names a split -> the split; it tells files apart on both sides, or else
            this is empty.
        by_folder: whether other folders tell files apart.
    """

    images: Sequence[File]
    label_maps: Sequence[File]
    naming: Naming
    splits: Mapping[str, str]
    by_folder: bool

    def key_of_image(self, file: File) -> Key | None:
        """Return what an image has in common with its label map; None where its name is another one."""
        return self._key(file, self.naming.of_image(file.stem))

    def key_of_label_map(self, file: File) -> Key | None:
        """Return what a label map has in common with its image; None where its name is another one."""
        return self._key(file, self.naming.of_label_map(file.stem))

    def _key(self, file: File, core: str | None) -> Key | None:
        return None if core is None else (file.place(self.splits, folders=self.by_folder), core)


@dataclass(frozen=True)
class Parts:
    """The splits of a folder.

    Attributes:
        pairs: name of a split, as the folder calls it -> its pairs.
        meanings: name of a split -> the split that it means.
        lists: name of a split -> its list, below the root.
        remarks: what was decided, one line each.
    """

    pairs: Mapping[str, tuple[Pair, ...]]
    meanings: Mapping[str, Split]
    lists: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def match(root: Path, images: Sequence[File], label_maps: Sequence[File]) -> Matched | None:
    """Return how images and label maps belong together; None if no names fit.

    Raises:
        UserError: each image has several label maps.
    """
    both = all(any(file.split for file in files) for files in (images, label_maps))
    meanings = splits_among(sorted({file.split for file in (*images, *label_maps)} - {""}))
    splits: Mapping[str, str] = meanings if both else {}
    for by_folder in (True, False):
        places = [
            [(file.place(splits, folders=by_folder), file.stem) for file in files]
            for files in (images, label_maps)
        ]
        if not by_folder and len(set(places[1])) < len(places[1]):
            return None
        try:
            naming = find_naming(*places)
        except SeveralNamings as error:
            shown = " and ".join(f"{before}NAME{after}" for before, after in error.label_maps[:3])
            raise UserError(
                f"images in {printable(root)} have {len(error.label_maps)} label maps each ({shown}); keep "
                "those of one kind"
            ) from None
        if naming is not None:
            return Matched(images, label_maps, naming, splits, by_folder)
    return None


@dataclass
class _Joined:
    """Pairs by what they have in common.

    Attributes:
        left_out: files in folders of label maps that are none.
    """

    pairs: dict[Key, list[Pair]] = field(default_factory=dict)
    split_names: dict[Key, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def _joined(root: Path, matched: Matched) -> _Joined:
    """Return all images and label maps, those that have no counterpart too.

    Raises:
        UserError: two label maps of one image.
    """
    maps: dict[Key, File] = {}
    others: list[File] = []
    for file in matched.label_maps:
        key = matched.key_of_label_map(file)
        if key is None:
            others.append(file)
        elif key in maps:
            raise UserError(
                f"{printable(root)} has two label maps of one image ({listed([maps[key].path, file.path])}); "
                "keep one of them"
            )
        else:
            maps[key] = file
    joined = _Joined()
    for file in matched.images:
        key = matched.key_of_image(file) or (file.place(matched.splits, folders=True), f"{file.stem} ")
        label_map = maps.get(key)
        pair = Pair(file.path, label_map.path if label_map else "", _name(file, key[1].strip()))
        joined.pairs.setdefault(key, []).append(pair)
        joined.split_names[key] = file.split or (label_map.split if label_map else "")
    cores = {core for _, core in joined.pairs}
    for key, file in maps.items():
        if key in joined.pairs:
            continue
        if any(file.stem.startswith(core) for core in _starts(file.stem) if core in cores):
            others.append(file)  # such as 1_color.png beside 1.png
            continue
        joined.pairs[key] = [Pair("", file.path, _name(file, key[1]))]
        joined.split_names[key] = file.split
    joined.left_out = [file.path for file in others]
    return joined


def _starts(stem: str) -> Iterator[str]:
    """Yield what stands before each mark in a name."""
    return (stem[:end] for end, character in enumerate(stem) if character in "_-. ")


def _name(file: File, core: str) -> str:
    return "/".join((*file.folders, core))


def divide(root: Path, matched: Matched) -> Parts:
    """Return the splits of a folder.

    Raises:
        UserError: two label maps of one image; lists that cannot be read; label maps inside and outside
            split folders; a split to train on without label maps.
    """
    joined = _joined(root, matched)
    remarks = []
    if joined.left_out:
        remarks.append(
            f"{counted(len(joined.left_out), 'file')} beside label maps left out ({listed(joined.left_out)})"
        )
    lists = None if any(joined.split_names.values()) else find_lists(root)
    parts = _by_folders(root, joined) if lists is None else _by_lists(root, joined, lists)
    kept = {}
    for name, pairs in parts.pairs.items():
        without = [pair.image for pair in pairs if not pair.label_map]
        if len(without) < len(pairs):
            kept[name] = pairs
        elif parts.meanings.get(name) == "train":
            raise UserError(
                f"none of the {counted(len(pairs), 'image')} of {name or 'train'} in {printable(root)} has a "
                f"label map ({listed(without)})"
            )
        else:
            what = printable(name) if name else "no split"
            remarks.append(f"{counted(len(pairs), 'image')} of {what} without label maps left out")
    meanings = {name: split for name, split in parts.meanings.items() if name in kept}
    return Parts(kept, meanings, parts.lists, (*parts.remarks, *remarks))


def _by_folders(root: Path, joined: _Joined) -> Parts:
    found: dict[str, list[Pair]] = {}
    for key, pairs in joined.pairs.items():
        found.setdefault(joined.split_names[key], []).extend(pairs)
    loose = [pair.label_map for pair in found.get("", ()) if pair.label_map]
    if loose and len(found) > 1:
        raise UserError(
            f"{counted(len(loose), 'label map')} in {printable(root)} lie in no split folder "
            f"({listed(loose)}), but others do ({listed([name for name in found if name])}); move them"
        )
    named = splits_among([name for name in found if name])
    meanings: dict[str, Split] = {"": "train"} if len(found) == 1 and "" in found else named
    return Parts({name: tuple(pairs) for name, pairs in found.items()}, meanings)


def _by_lists(root: Path, joined: _Joined, lists: Lists) -> Parts:
    """Return the splits that lists name.

    Raises:
        UserError: a list that cannot be read, or names none of the images.
    """
    every = [pair for pairs in joined.pairs.values() for pair in pairs]
    parts = named_pairs(root, every, lists.files)
    used = {pair for pairs in parts.values() for pair in pairs}
    rest = sum(pair not in used for pair in every)
    remarks = (f"{counted(rest, 'image')} in no list left out",) if rest else ()
    return Parts(parts, lists.meanings, lists.files, (*lists.remarks, *remarks))
