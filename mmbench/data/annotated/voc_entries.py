"""Which image and which annotation file of a VOC folder belong together: by lists, or by their folders.

Neither is replaced by a file of another folder that other lines or files belong to.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mmbench.data.annotated.shortened_paths import alike, folder_names, may_be_meant
from mmbench.data.annotated.walking import files_below, is_image_name
from mmbench.data.folder.classes import LABEL_MAPS
from mmbench.data.folder.split_names import splits_among
from mmbench.data.lists.text_lists import read_items, spellings
from mmbench.data.types import Split

IMAGE_FOLDERS = frozenset({"jpegimages", "images", "image", "imgs", "img", "pngimages"})
ANNOTATION_FOLDERS = frozenset({"annotations", "annotation", "xml", "xmls", "labels"})
KINDS = IMAGE_FOLDERS | ANNOTATION_FOLDERS


@dataclass(frozen=True, slots=True)
class VocEntry:
    """One image and its annotation file, below the root.

    Attributes:
        name: the stem of both, or the path of the stem where the files lie in folders.
        images: those of that stem; more than one if only their endings differ.
        annotation: the file; it may be missing. Empty for an image that has none.
        shortened: the line of a list, or the annotation file, that leads to another folder; the files were
            found by the end of that path. Empty if they are where it says.
        others: further annotation files that a line of a list may mean.
    """

    name: str
    images: tuple[str, ...]
    annotation: str
    shortened: str = ""
    others: tuple[str, ...] = ()


@dataclass
class VocFiles:
    """Paths below a folder, without their endings -> the paths, for images and for XML files."""

    images: dict[str, list[str]] = field(default_factory=dict)
    annotations: dict[str, list[str]] = field(default_factory=dict)


def voc_files(root: Path) -> VocFiles:
    """Return the images and XML files below a folder."""
    found = VocFiles()
    for path in files_below(root):
        stem, _, ending = path.rpartition(".")
        if is_image_name(path):
            found.images.setdefault(stem, []).append(path)
        elif ending.lower() == "xml":
            found.annotations.setdefault(stem, []).append(path)
    return found


def listed_entries(
    root: Path, base: str, listings: Sequence[str], files: VocFiles
) -> list[tuple[VocEntry, ...]]:
    """Return the entries of each of the lists that are used together.

    Args:
        root: the folder that paths of entries are below.
        base: the VOC folder below `root`; empty for `root` itself.
        listings: paths below the VOC folder.
        files: of the VOC folder.

    Raises:
        UserError: a list is missing, empty, or not text.
    """
    annotations = _keyed(files.annotations, ANNOTATION_FOLDERS)
    images = _keyed(files.images, IMAGE_FOLDERS)
    items = [read_items(root / base / listing, "list of images") for listing in listings]
    lines = [[line for _, line in found] for found in items]
    keys = _keys([line for part in lines for line in part], annotations, root / base)
    start = f"{base}/" if base else ""
    entries: dict[str, VocEntry] = {}
    for line, key in keys.items():
        known = [start + path for path in annotations.get(key) or [f"Annotations/{key}.xml"]]
        found = images.get(key, [])
        usual = [image for image in found if image.startswith("JPEGImages/")] or found
        shortened = "" if key in _direct(line) or key not in annotations else line
        paths = tuple(start + image for image in usual)
        entries[line] = VocEntry(key, paths, known[0], shortened, tuple(known[1:]))
    return [tuple(entries[line] for line in part) for part in lines]


def _keyed(files: Mapping[str, list[str]], kinds: frozenset[str]) -> dict[str, list[str]]:
    """Return paths by what a list calls them: without the folder of their kind, and without an ending."""
    found: dict[str, list[str]] = {}
    for stem, paths in files.items():
        found.setdefault(_without_kind(stem, kinds), []).extend(paths)
    return found


def _without_kind(path: str, kinds: frozenset[str]) -> str:
    first, _, rest = path.partition("/")
    return rest if rest and first.lower() in kinds else path


def _direct(line: str) -> list[str]:
    """Return the keys that a line may name: "1", "1.jpg", "JPEGImages/1.jpg" and "1 -1" all name "1"."""
    found: list[str] = []
    for text in spellings(line):
        bare = text.rpartition(".")[0] if is_image_name(text) or text.endswith(".xml") else text
        plain = "/".join(part for part in bare.split("/") if part not in ("", ".", ".."))
        found += [text, bare, _without_kind(plain, KINDS)]
    return found


def _keys(lines: Sequence[str], known: Mapping[str, list[str]], top: Path) -> dict[str, str]:
    """Return which key each line names; one that is not known if its files are not there."""
    keys: dict[str, str] = {}
    shortened: dict[str, str] = {}
    folders: frozenset[str] | None = None
    for line in dict.fromkeys(lines):
        direct = _direct(line)
        if (key := next((key for key in direct if key in known), None)) is not None:
            keys[line] = key
            continue
        keys[line] = direct[-1] or line
        folders = folders if folders is not None else folder_names([top])
        if (key := _by_end(direct[2::3], known, folders)) is not None:
            shortened[line] = key
    taken, times = set(keys.values()), Counter(shortened.values())
    return keys | {line: key for line, key in shortened.items() if key not in taken and times[key] == 1}


def _by_end(paths: Iterable[str], known: Mapping[str, list[str]], folders: Container[str]) -> str | None:
    """Return the key that the end of one of the paths names, None if there is none that may be meant."""
    for path in paths:
        parts = path.split("/")
        for start in range(1, len(parts)):
            key = _without_kind("/".join(parts[start:]), KINDS)
            if key in known and may_be_meant(parts[:start], known[key][0], folders):
                return key
    return None


def folder_entries(files: VocFiles) -> tuple[dict[str, list[VocEntry]], list[str]]:
    """Return entries by the folder that is named like their split, and images that are left out.

    An image without an annotation file is an entry of its own if it is in the folder of a split that has
    annotation files, or no file is in such a folder. Otherwise it is left out.
    """
    pairs = _Pairs(files)
    found: dict[str, list[VocEntry]] = {}
    for stem, paths in sorted(files.annotations.items()):
        elsewhere = paths[0] if stem in pairs.elsewhere else ""
        images = tuple(pairs.images.get(stem, ()))
        found.setdefault(split_of(stem), []).append(VocEntry(stem, images, paths[0], elsewhere))
    used = {image for images in pairs.images.values() for image in images}
    places = {_folder(image) for image in used}
    left_out = []
    for stem, paths in sorted(files.images.items()):
        around = set(_folder(stem).lower().split("/"))
        counts = _folder(stem) in places or (around & IMAGE_FOLDERS and not around & LABEL_MAPS)
        rest = [path for path in paths if counts and path not in used]
        if (split := pairs.split_of(stem)) in found:
            found[split] += [VocEntry(stem, (path,), "") for path in rest]
        else:
            left_out += rest
    return found, left_out


class _Pairs:
    """The images of each annotation file.

    Attributes:
        images: stem of an annotation file -> its images.
        elsewhere: stems whose images lie in a folder of another name.
    """

    def __init__(self, files: VocFiles) -> None:
        self._splits = {split_of(stem) for stem in files.annotations}
        self._image_folders = frozenset(alike(part) for stem in files.images for part in stem.split("/")[:-1])
        self._folders = frozenset(alike(part) for stem in files.annotations for part in stem.split("/")[:-1])
        named: dict[tuple[str, str], list[str]] = {}
        for stem, paths in files.images.items():
            named.setdefault((self.split_of(stem), _name(stem)), []).extend(paths)
        self.images: dict[str, list[str]] = {}
        rest: dict[str, list[str]] = {}
        for stem in files.annotations:
            candidates = _usual(named.get((split_of(stem), _name(stem)), []))
            certain = files.images.get(stem) or _same_place(stem, candidates)
            if certain:
                self.images[stem] = certain
            else:
                rest[stem] = [image for image in candidates if self._may_be(stem, image)]
        taken = {image for images in self.images.values() for image in images}
        times = Counter(image for images in rest.values() for image in images)
        self.elsewhere: set[str] = set()
        for stem, candidates in rest.items():
            free = [image for image in candidates if image not in taken and times[image] == 1]
            if free:
                self.images[stem] = free
                self.elsewhere.add(stem)

    def split_of(self, stem: str) -> str:
        """Return the split folder of an image, as annotation files call it: "valid" for "validation"."""
        own = split_of(stem)
        same = [name for name in self._splits if own and name and _meant(name) == _meant(own)]
        return same[0] if own not in self._splits and len(same) == 1 else own

    def _may_be(self, annotation: str, image: str) -> bool:
        """Return whether an image of another folder may be that of an annotation file."""
        return may_be_meant(_inner(annotation), image, self._image_folders) and may_be_meant(
            _inner(image), annotation, self._folders
        )


def split_of(path: str) -> str:
    """Return the folder in a path that is named like a split, empty if none is."""
    return next((part for part in path.split("/")[:-1] if _meant(part)), "")


@functools.lru_cache(4096)
def _meant(folder: str) -> Split | None:
    return splits_among([folder]).get(folder)


def _usual(images: list[str]) -> list[str]:
    """Return the images in a folder named for images, as others may be label maps; all if none is in one."""
    return [path for path in images if IMAGE_FOLDERS.intersection(path.lower().split("/")[:-1])] or images


def _same_place(annotation: str, images: list[str]) -> list[str]:
    """Return the images in the same folder within that of the images as the file within its own."""
    inside = _folder(annotation).split("/")[1:]
    first = [image for image in images if _folder(image).split("/")[1:] == inside]
    return first or [image for image in images if _inner(image) == _inner(annotation)]


def _inner(path: str) -> list[str]:
    """Return the folders of a path that say neither what is in them nor which split it is of."""
    parts = path.split("/")[:-1]
    return [part for part in parts if part.lower() not in KINDS and not _meant(part)]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _name(stem: str) -> str:
    return PurePosixPath(stem).name
