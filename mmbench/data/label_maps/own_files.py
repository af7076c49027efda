"""The files of a user's folder, with what their folders say; and label maps that lie beside images."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath

from PIL import Image

from mmbench.data.annotated.walking import files_below
from mmbench.data.folder.scan import is_system_name
from mmbench.data.folder.split_names import splits_among
from mmbench.data.label_maps.own_pairs import Place
from mmbench.data.label_maps.own_words import Kind, is_label_map_name, meaning

# Folders that are looked at to recognise label maps: a data set of another kind has thousands.
LOOKED_INTO, LOOKED_INTO_EACH = 50, 20
BESIDE = re.compile(
    r"(.*[^_\-. ])(?:[_\-. ]+(?:masks?|labels?|lbl|seg|segmentation|gt|groundtruth|ground_truth|annotation|"
    r"labelmap|labelids|trainids|L)|Mask)(?:_\d+)?|(?:mask|label|seg|gt)[_\-. ]+(.+)",
    re.IGNORECASE,
)
PHOTOGRAPHS = frozenset({".jpg", ".jpeg", ".webp"})  # lossy: of two files of one name, this is the image
MOST_COLOURS, SNIFFED = 64, 3  # that a label map has if only its pixels tell it from a photograph


@dataclass(frozen=True, slots=True)
class File:
    """A file that may be an image or a label map.

    Attributes:
        path: below the root.
        kind, word: what its folders say; see `Meaning`.
        split: name of the folder that names a split, "" if none does.
        folders: the other folders.
        known: whether the first folder says something; files in the root itself are known.
    """

    path: str
    kind: Kind | None
    word: str
    split: str
    folders: tuple[str, ...]
    known: bool

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return PurePosixPath(self.path).stem

    def place(self, splits: Mapping[str, str], *, folders: bool) -> Place:
        """Return where it lies, as far as that tells files apart.

        Args:
            splits: name of a split -> its meaning; empty where they do not.
            folders: whether other folders do.
        """
        return splits.get(self.split, ""), *(self.folders if folders else ())


def read_files(root: Path) -> list[File]:
    """Return all files that may be images or label maps, sorted by their paths."""
    paths = [path for path in files_below(root) if is_label_map_name(path)]
    inside: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")[:-1]
        for place, part in enumerate(parts):
            inside.setdefault("/".join(parts[:place]), set()).add(part)
    splits = {parent: set(splits_among(sorted(names))) for parent, names in inside.items()}
    known: dict[str, File] = {}
    found = []
    for path in paths:
        folder = path.rpartition("/")[0]
        if folder not in known:
            known[folder] = _in_folder(folder, splits)
        found.append(replace(known[folder], path=path))
    return found


def _in_folder(folder: str, splits: dict[str, set[str]]) -> File:
    """Return what the folders of a path say, as a file without a name."""
    kind: Kind | None = None
    word = split = ""
    folders, known = [], True
    parts = folder.split("/") if folder else []
    for place, part in enumerate(parts):
        says = meaning(part)
        named = says.split or (part if part in splits.get("/".join(parts[:place]), ()) else "")
        if says.kind == "neither" or kind == "neither":
            kind = "neither"
        elif says.kind == "label maps" and kind != "label maps":
            kind, word = "label maps", says.word
        elif says.kind == "images" and kind is None:
            kind, word = "images", says.word
        split = split or named
        if says.kind is None and not named:
            folders.append(part)
            known = known and place > 0
    return File("", kind, word, split, tuple(folders), known)


def may_hold_label_maps(root: Path) -> bool:
    """Return whether names in the first folders look like those of label maps; few folders are looked at."""
    return any(
        any(meaning(name).kind == "label maps" for name in folders) or bool(beside(files))
        for folders, files in _looked_at(root)
    )


def _looked_at(root: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Yield names of folders and of files in a folder, and in the first folders below it."""
    folders, files = _names(root)
    yield folders, files
    for outer in islice(folders, LOOKED_INTO):
        inside, files = _names(root / outer)
        yield inside, files
        for inner in islice(inside, LOOKED_INTO_EACH):
            yield _names(root / outer / inner)


def _names(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of folders, sorted, and of files that may be label maps."""
    with os.scandir(folder) as found:
        entries = [entry for entry in found if not is_system_name(entry.name)]
    return (
        sorted(entry.name for entry in entries if entry.is_dir()),
        [entry.name for entry in entries if is_label_map_name(entry.name)],
    )


def beside(names: Iterable[str]) -> set[str]:
    """Return which files of a folder are named like the label map of another one in it.

    >>> sorted(beside(["1.jpg", "1.png", "2.png", "2_mask.png", "3.png"]))
    ['1.png', '2_mask.png']
    """
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(PurePosixPath(name).stem, []).append(name)
    found: set[str] = set()
    for stem, files in by_stem.items():
        photographs = {name for name in files if PurePosixPath(name).suffix.lower() in PHOTOGRAPHS}
        if photographs and len(files) == 2 * len(photographs):
            found |= set(files) - photographs
        match = BESIDE.fullmatch(stem)
        if match is not None and _has_image(match[1] or match[2], by_stem):
            found |= set(files)
    return found


def _has_image(core: str, by_stem: dict[str, list[str]]) -> bool:
    """Return whether an image of that name is there."""
    names = (core, *(f"{core}_{word}" for word in ("sat", "image", "img", "rgb")))
    return any(name in by_stem for name in (*names, f"image_{core}", f"img_{core}"))


def divided(files: Sequence[File]) -> tuple[list[File], list[File]]:
    """Return images, and label maps that lie beside them in the same folder."""
    by_folder: dict[str, list[File]] = {}
    for file in files:
        by_folder.setdefault(file.path.rpartition("/")[0], []).append(file)
    images, label_maps = [], []
    for folder, inside in by_folder.items():
        start = f"{folder}/" if folder else ""
        maps = {start + name for name in beside(PurePosixPath(file.path).name for file in inside)}
        images += [file for file in inside if file.path not in maps]
        label_maps += [file for file in inside if file.path in maps]
    return images, label_maps


def look_like_label_maps(root: Path, paths: Sequence[str]) -> bool:
    """Return whether files have few colours, unlike photographs; a few of them are opened."""
    step = max(1, len(paths) // SNIFFED)
    return all(map(_has_few_colours, (root / path for path in paths[::step][:SNIFFED])))


def _has_few_colours(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return image.format != "JPEG" and image.getcolors(MOST_COLOURS) is not None
    except (OSError, ValueError, SyntaxError):
        return False
