"""Folders in YOLO layout: data.yaml, and which images and label files belong to which split.

data.yaml (names, train, val, test), images/train/1.jpg, labels/train/1.txt
data.yaml, train/images/1.jpg, train/labels/1.txt                 as common exporters write it
classes.txt, images/1.jpg, labels/1.txt                           without data.yaml
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmbench.data.annotated.walking import files_below, is_image_name, read_names
from mmbench.data.annotated.yolo_labels import NAME_LISTS, labels_of, labels_without_image, unread_beside
from mmbench.data.annotated.yolo_settings import class_names, keypoint_shape, read_settings, settings_file
from mmbench.data.folder.split_names import splits_among
from mmbench.data.lists.text_lists import read_items, resolve
from mmbench.data.types import Split
from mmbench.errors import UserError, shown
from mmbench.file_names import counted, listed, printable

SPLIT_KEYS = ("train", "val", "valid", "validation", "test")


@dataclass(frozen=True, slots=True)
class YoloEntry:
    """One image and its label file, below the root.

    Attributes:
        image: a path; empty for a label file without an image.
        labels: where its label file is, or is expected.
        other: in place of the image, a file of its name whose type is not read; empty if there is none.
    """

    image: str
    labels: str
    other: str = ""


@dataclass(frozen=True)
class YoloFolder:
    """A folder in YOLO layout.

    Attributes:
        root: the folder that paths are below.
        classes: names, in the order of labels.
        splits: name of a split, as the files call it -> its entries.
        meanings: name of a split -> the split that it means.
        files: data.yaml and lists, below the root.
        remarks: what was decided, one line each.
        keypoints: number of keypoints per object and of values per keypoint; None without keypoints.
    """

    root: Path
    classes: tuple[str, ...]
    splits: Mapping[str, tuple[YoloEntry, ...]]
    meanings: Mapping[str, Split]
    files: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    keypoints: tuple[int, int] | None = None


class MissingImages(UserError):  # noqa: N818 - it is a refusal like every UserError
    """A folder or list of images that does not exist."""


@dataclass
class _Opening:
    """What is collected while a folder is opened.

    Attributes:
        folders: name of a split -> the folders that the settings name for it.
    """

    home: Path
    files: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    folders: dict[str, list[Path]] = field(default_factory=dict)


def find_yolo(root: Path) -> YoloFolder | None:
    """Return a folder in YOLO layout, None if it has neither YOLO's settings nor a folder of labels.

    Raises:
        UserError: settings that are not valid; folders or lists that do not exist.
    """
    if not root.is_dir():
        return None
    path = settings_file(root)
    return _without_settings(root) if path is None else _of_settings(root, path)


def _of_settings(root: Path, path: Path) -> YoloFolder:
    content = read_settings(path)
    opening = _Opening(root, [path.name])
    classes = class_names(content, path)
    base = content.get("path")
    bases = [root]
    if isinstance(base, str):
        bases.insert(0, root / base.strip())
    stated = {key: content[key] for key in SPLIT_KEYS if content.get(key)}
    meanings = splits_among(list(stated))
    places: dict[str, tuple[Path, ...]] = {}
    absent: dict[str, MissingImages] = {}
    for name, value in stated.items():
        try:
            places[name] = _places(value, name, path, bases, opening)
        except MissingImages as error:
            absent[name] = error
    # Exporters state a test split even where they wrote none; train and one other must be there.
    found = {meanings[name] for name in places}
    if absent and ("train" not in found or len(found) < 2):
        raise next(iter(absent.values()))
    for name, reason in absent.items():
        opening.remarks.append(f"no {name} split: {reason}")
    meanings = {name: split for name, split in meanings.items() if name in places}
    top = _common_folder(root, [place for found in places.values() for place in found])
    opening.files = [_relative(root / name, top) for name in opening.files]
    splits = {
        name: (*_entries(found, top, path, name), *_lone(found, top, opening.folders.get(name, ())))
        for name, found in places.items()
    }
    below = {folder for folders in opening.folders.values() for folder in folders}
    files = [_relative(folder / file, top) for folder in sorted(below) for file in files_below(folder)]
    opening.remarks += _unread_remarks(files, splits)
    points = keypoint_shape(content, path)
    return YoloFolder(top, classes, splits, meanings, tuple(opening.files), tuple(opening.remarks), points)


def _places(
    value: object, name: str, path: Path, bases: Sequence[Path], opening: _Opening
) -> tuple[Path, ...]:
    """Return the images that a split of the settings names.

    Raises:
        UserError: a folder or list that does not exist, or without images.
    """
    values = value if isinstance(value, list) else [value]
    found: dict[Path, None] = {}
    for text in values:
        if not isinstance(text, str):
            raise UserError(f"{printable(path)}: {name} is {shown(text)}, which is not a folder or a list")
        place = _existing(text.strip(), name, path, bases, opening)
        if place.is_dir():
            images = [place / below for below in files_below(place) if is_image_name(below)]
            found |= dict.fromkeys(images)
            opening.folders.setdefault(name, []).append(place)
        elif place.suffix.lower() == ".txt":
            opening.files.append(os.path.relpath(place, opening.home))
            found |= dict.fromkeys(_listed_images(place, bases))
        elif is_image_name(place.name):
            found[place] = None
        else:
            raise UserError(f"{printable(path)}: {name} is {printable(text)}, not a folder or a .txt list")
    if not found:
        raise UserError(f"{printable(path)}: {name} ({printable(str(value))}) has no images")
    return tuple(found)


def _existing(text: str, name: str, path: Path, bases: Sequence[Path], opening: _Opening) -> Path:
    """Return what a path in the settings leads to.

    Exporters write "../train/images" although the folder lies beside data.yaml, and absolute paths of the
    machine that wrote the file; the end of such a path is looked for beside data.yaml.
    """
    given = text.replace("\\", "/")
    for base in bases:
        if (base / given).exists():
            return base / given
    parts = [part for part in given.split("/") if part not in ("", ".", "..")]
    for start in range(len(parts)):
        candidate = opening.home.joinpath(*parts[start:])
        names_split = not start or any(splits_among([part.partition(".")[0]]) for part in parts[start:])
        if names_split and candidate.exists():
            opening.remarks.append(
                f"{path.name}: {name} is {printable(text)}, which does not exist; "
                f"{'/'.join(parts[start:])} beside it is used"
            )
            return candidate
    raise MissingImages(
        f"{printable(path)}: {name} is {printable(text)}, which does not exist; correct the path"
    )


def _listed_images(listing: Path, bases: Sequence[Path]) -> list[Path]:
    """Return the images that a list names; relative paths are relative to the list or to one of `bases`.

    Raises:
        UserError: a line names several images.
    """

    def find(text: str) -> list[Path]:
        places = (base / text for base in (listing.parent, *bases))
        return next(([place] for place in places if place.exists()), [])

    found = []
    for number, line in read_items(listing, "list of images"):
        named = resolve(line, find, f"{printable(listing)}, line {number}")
        found.append(named[0] if named else listing.parent / line)
    return found


def _common_folder(root: Path, images: Sequence[Path]) -> Path:
    """Return `root` if all images are below it, else the folder that all of them and `root` are below."""
    home = root.absolute()
    tops = {Path(os.path.normpath(image.absolute())).parent for image in images}
    inside = all(top.is_relative_to(home) for top in tops)
    return root if inside else Path(os.path.commonpath([home, *tops]))


def _relative(path: Path, top: Path) -> str:
    return os.path.relpath(path.absolute(), top.absolute()).replace(os.sep, "/")


def _entries(images: Sequence[Path], top: Path, path: Path, name: str) -> tuple[YoloEntry, ...]:
    """Return a split's entries.

    Raises:
        UserError: none of the images has a label file.
    """
    entries = []
    for image in images:
        inside = _relative(image, top)
        entries.append(YoloEntry(inside, labels_of(top, inside)))
    if not any((top / entry.labels).is_file() for entry in entries):
        raise UserError(
            f"{printable(path)}: none of the {len(entries)} images of {name} has a label file; the first is "
            f"expected at {printable(top / entries[0].labels)}"
        )
    return tuple(entries)


def _lone(images: Sequence[Path], top: Path, folders: Iterable[Path]) -> Iterator[YoloEntry]:
    """Yield an entry for each label file of a split whose image is missing."""
    inside = [_relative(image, top) for image in images]
    for labels, other in labels_without_image(top, (_relative(folder, top) for folder in folders), inside):
        yield YoloEntry("", labels, other)


def _without_settings(root: Path) -> YoloFolder | None:
    names = [root / name for name in NAME_LISTS if (root / name).is_file()]
    if not names:
        return None
    found: dict[str, list[YoloEntry]] = {}
    files = files_below(root)
    images = [path for path in files if is_image_name(path)]
    for image in images:
        found.setdefault(_split_of(image), []).append(YoloEntry(image, labels_of(root, image)))
    entries = [entry for part in found.values() for entry in part]
    if not any((root / entry.labels).is_file() for entry in entries):
        return None
    if len(found) > 1 and "" in found:
        raise UserError(
            f"{len(found[''])} images in {printable(root)} lie in no split folder, but others do; move them"
        )
    lone, left_out = labels_without_image(root, [""], images), []
    for labels, other in lone:
        if (split := _split_of(labels)) in found:
            found[split].append(YoloEntry("", labels, other))
        else:
            left_out.append(labels)
    remarks = []
    if left_out:
        many = counted(len(left_out), "label file")
        remarks.append(f"left out: {many} without images ({listed(left_out)})")
    meanings: dict[str, Split] = {"": "train"} if "" in found else splits_among(list(found))
    classes = tuple(read_names(names[0]))
    splits = {name: tuple(part) for name, part in found.items()}
    remarks += _unread_remarks(files, splits)
    return YoloFolder(root, classes, splits, meanings, (names[0].name,), tuple(remarks))


def _unread_remarks(files: Iterable[str], splits: Mapping[str, Sequence[YoloEntry]]) -> Iterator[str]:
    """Yield a line about files beside images that are not read; findings name those with a label file."""
    entries = [entry for part in splits.values() for entry in part]
    images, known = [entry.image for entry in entries if entry.image], {entry.other for entry in entries}
    if unread := [file for file in unread_beside(files, images) if file not in known]:
        many = counted(len(unread), "file")
        yield f"left out: {many} beside images, of types that are not read ({listed(unread)})"


def _split_of(path: str) -> str:
    """Return the folder in a path that is named like a split, empty if none is."""
    return next((part for part in path.split("/")[:-1] if splits_among([part])), "")
