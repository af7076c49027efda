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
from pathlib import Path, PurePosixPath

from mmbench.data.annotated.walking import files_below, is_image_name
from mmbench.data.folder.split_names import WORDS, splits_among
from mmbench.data.text_lists import read_items, spellings
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.file_names import listed, printable

LISTS = "ImageSets/Main"
OTHER_LISTS = "ImageSets"  # where some tools put the lists
IMAGE_FOLDERS = frozenset({"jpegimages", "images", "image", "imgs", "img", "pngimages"})
ANNOTATION_FOLDERS = frozenset({"annotations", "annotation", "xml", "xmls", "labels"})
# Looked at to recognise the layout: the start of XML files, files of a folder, folders inside a folder.
SNIFFED_BYTES, SNIFFED_FILES, SNIFFED_FOLDERS = 2048, 3, 20


@dataclass(frozen=True, slots=True)
class VocEntry:
    """One image and its annotation file, below the root.

    Attributes:
        name: the stem of both, or the path of the stem where the files lie in folders.
        images: those of that stem; more than one if only their endings differ.
        annotation: the file; it may be missing.
    """

    name: str
    images: tuple[str, ...]
    annotation: str


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


@dataclass
class _Files:
    """Paths below a folder, without their endings -> the paths, for images and for XML files."""

    images: dict[str, list[str]] = field(default_factory=dict)
    annotations: dict[str, list[str]] = field(default_factory=dict)


def _files(root: Path) -> _Files:
    found = _Files()
    for path in files_below(root):
        stem, _, ending = path.rpartition(".")
        if is_image_name(path):
            found.images.setdefault(stem, []).append(path)
        elif ending.lower() == "xml":
            found.annotations.setdefault(stem, []).append(path)
    return found


def devkit_entries(root: Path, base: str, listing: str) -> tuple[VocEntry, ...]:
    """Return the entries of one list of a VOC folder.

    Args:
        root: the folder that paths of entries are below.
        base: the VOC folder below `root`; empty for `root` itself.
        listing: name of the list in ImageSets/Main, without its ending.

    Raises:
        UserError: the list is missing, empty, or not text.
    """
    return _of_list(root, base, f"{LISTS}/{listing}.txt", _files(root / base))


def _of_list(root: Path, base: str, listing: str, files: _Files) -> tuple[VocEntry, ...]:
    annotations = _keyed(files.annotations, ANNOTATION_FOLDERS)
    images = _keyed(files.images, IMAGE_FOLDERS)
    start = f"{base}/" if base else ""
    entries = []
    for _, line in read_items(root / base / listing, "list of images"):
        key = _key(line, annotations)
        known = annotations.get(key) or [f"Annotations/{key}.xml"]
        found = images.get(key, [])
        usual = [image for image in found if image.startswith("JPEGImages/")] or found
        entries.append(VocEntry(key, tuple(start + image for image in usual), start + known[0]))
    return tuple(entries)


def _keyed(files: Mapping[str, list[str]], kinds: frozenset[str]) -> dict[str, list[str]]:
    """Return paths by what a list calls them: without the folder of their kind, and without an ending."""
    found: dict[str, list[str]] = {}
    for stem, paths in files.items():
        parts = stem.split("/")
        key = "/".join(parts[1:]) if len(parts) > 1 and parts[0].lower() in kinds else stem
        found.setdefault(key, []).extend(paths)
    return found


def _key(line: str, known: Mapping[str, object]) -> str:
    """Return what a line of a list names: "1", "1.jpg", "JPEGImages/1.jpg" and "1 -1" all name "1"."""
    texts = list(spellings(line))
    for text in texts:
        bare = text.rpartition(".")[0] if is_image_name(text) or text.endswith(".xml") else text
        for key in (text, bare, PurePosixPath(bare).name):
            if key in known:
                return key
    return texts[-1]


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
    files = _files(root)
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


def _by_lists(root: Path, place: str, named: list[str], files: _Files) -> VocFolder:
    remarks = []
    meanings = splits_among(named)
    whole = [name for name in named if name.casefold() == "trainval"]
    if whole and "train" in [name.casefold() for name in named]:
        meanings = {name: split for name, split in meanings.items() if name not in whole}
        remarks.append(f"{place}/{whole[0]}.txt is not used, as train.txt is there")
    paths = {name: f"{place}/{name}.txt" for name in meanings}
    entries = {name: _of_list(root, "", path, files) for name, path in paths.items()}
    return VocFolder(root, entries, meanings, paths, tuple(remarks))


def _split_of(path: str) -> str:
    """Return the folder in a path that is named like a split, empty if none is."""
    for part in path.split("/")[:-1]:
        if splits_among([part]):
            return part
    return ""


def _fitting(annotation: str, paths: list[str]) -> list[str]:
    """Return which images of one name may belong to an annotation file.

    Those in a folder named for images are preferred, as others may be label maps; then those in the same
    folder within it.
    """
    usual = [path for path in paths if IMAGE_FOLDERS.intersection(path.lower().split("/")[:-1])] or paths
    inside = annotation.rpartition("/")[0].split("/")[1:]
    return [path for path in usual if path.rpartition("/")[0].split("/")[1:] == inside] or usual


def _by_folders(root: Path, files: _Files) -> VocFolder:
    images: dict[tuple[str, str], list[str]] = {}
    for stem, paths in files.images.items():
        images.setdefault((_split_of(stem), PurePosixPath(stem).name), []).extend(paths)
    found: dict[str, list[VocEntry]] = {}
    loose = []
    for stem, paths in sorted(files.annotations.items()):
        folder = _split_of(stem)
        beside = files.images.get(stem)
        same = beside or _fitting(stem, images.get((folder, PurePosixPath(stem).name), []))
        found.setdefault(folder, []).append(VocEntry(stem, tuple(same), paths[0]))
        if not folder:
            loose.append(paths[0])
    if loose and len(found) > 1:
        raise UserError(
            f"{len(loose)} annotation files in {printable(root)} lie in no split folder ({listed(loose)}) "
            f"but others do ({listed([name for name in found if name])}); move them"
        )
    meanings: dict[str, Split] = {"": "train"} if loose else splits_among(list(found))
    return VocFolder(root, {name: tuple(entries) for name, entries in found.items()}, meanings)
