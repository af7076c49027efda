"""Folders in VOC layout: which annotation file belongs to which image, and which split both belong to.

JPEGImages/1.jpg, Annotations/1.xml, ImageSets/Main/train.txt     the layout of PASCAL VOC
train/1.jpg, train/1.xml                                          as common exporters write it
images/train/1.jpg, annotations/train/1.xml                       split folders inside
images/1.jpg, annotations/1.xml                                   without splits
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from mmbench.data.annotated.voc_entries import (
    ANNOTATION_FOLDERS,
    IMAGE_FOLDERS,
    VocEntry,
    VocFiles,
    folder_entries,
    listed_entries,
    voc_files,
)
from mmbench.data.folder.split_names import WORDS, splits_among
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.file_names import counted, listed, printable

LISTS = "ImageSets/Main"
OTHER_LISTS = "ImageSets"  # where some tools put the lists
# Looked at to recognise the layout: the start of XML files, files of a folder, folders inside a folder.
SNIFFED_BYTES, SNIFFED_FILES, SNIFFED_FOLDERS = 2048, 3, 20


@dataclass(frozen=True)
class VocFolder:
    """A folder in VOC layout.

    Attributes:
        splits: name of a list or a folder, such as "trainval" -> its entries, in the order of the list.
        meanings: name of a list or a folder -> the split that it means.
        lists: name of a list -> its file, below the root.
        remarks: what was decided, one line each.
    """

    root: Path
    splits: Mapping[str, tuple[VocEntry, ...]]
    meanings: Mapping[str, Split]
    lists: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def devkit_entries(root: Path, base: str, listing: str) -> tuple[VocEntry, ...]:
    """Return the entries of one list of a VOC folder.

    Args:
        root: the folder that paths of entries are below.
        base: the VOC folder below `root`; empty for `root` itself.
        listing: name of the list in ImageSets/Main, without its ending.

    Raises:
        UserError: the list is missing, empty, or not text.
    """
    return listed_entries(root, base, [f"{LISTS}/{listing}.txt"], voc_files(root / base))[0]


def find_voc(root: Path) -> VocFolder | None:
    """Return a folder in VOC layout, None if there is no annotation file in it.

    Raises:
        UserError: lists that cannot be read; annotation files inside and outside split folders.
    """
    if not root.is_dir():
        return None
    first = [path for place in _places(root) for path in islice(_xml_files(place), SNIFFED_FILES)]
    if not any(map(_is_voc, first)):
        return None
    files = voc_files(root)
    for place in (LISTS, OTHER_LISTS):
        lists = sorted((root / place).glob("*.txt"), key=lambda path: path.name)
        if named := [path.stem for path in lists if path.stem.casefold() in WORDS]:
            return _by_lists(root, place, named, files)
    return _by_folders(root, files)


def _places(root: Path) -> Iterator[Path]:
    """Yield the folders in which annotation files are expected; a data set of other kind has millions."""
    yield root
    for entry in sorted(root.iterdir()):
        if entry.is_dir() and _may_hold(entry.name):
            yield entry
            every = entry.name.lower() in ANNOTATION_FOLDERS
            inner = (place for place in sorted(entry.iterdir()) if place.is_dir())
            yield from islice((place for place in inner if every or _may_hold(place.name)), SNIFFED_FOLDERS)


def _may_hold(name: str) -> bool:
    return name.lower() in ANNOTATION_FOLDERS | IMAGE_FOLDERS or bool(splits_among([name]))


def _xml_files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        yield from (Path(entry.path) for entry in entries if entry.name.lower().endswith(".xml"))


def _is_voc(path: Path) -> bool:
    """Return whether an XML file begins like one of VOC."""
    try:
        with path.open("rb") as stream:
            return re.search(rb"<annotation[\s>]", stream.read(SNIFFED_BYTES)) is not None
    except OSError:
        return False


def _by_lists(root: Path, place: str, named: list[str], files: VocFiles) -> VocFolder:
    remarks = []
    meanings = splits_among(named)
    whole = [name for name in named if name.casefold() == "trainval"]
    if whole and "train" in [name.casefold() for name in named]:
        meanings = {name: split for name, split in meanings.items() if name not in whole}
        remarks.append(f"{place}/{whole[0]}.txt is not used, as train.txt is there")
    paths = {name: f"{place}/{name}.txt" for name in meanings}
    entries = dict(zip(paths, listed_entries(root, "", list(paths.values()), files), strict=True))
    return VocFolder(root, entries, meanings, paths, tuple(remarks))


def _by_folders(root: Path, files: VocFiles) -> VocFolder:
    found, left_out = folder_entries(files)
    loose = [entry.annotation for entry in found.get("", ()) if entry.annotation]
    if loose and len(found) > 1:
        raise UserError(
            f"{len(loose)} annotation files in {printable(root)} lie in no split folder ({listed(loose)}) "
            f"but others do ({listed([name for name in found if name])}); move them"
        )
    remarks = []
    if left_out:
        images = counted(len(left_out), "image")
        remarks.append(f"left out: {images} in folders without annotation files ({listed(left_out)})")
    meanings: dict[str, Split] = {"": "train"} if loose else splits_among(list(found))
    splits = {name: tuple(entries) for name, entries in found.items()}
    return VocFolder(root, splits, meanings, remarks=tuple(remarks))
