"""Lists of labelled images as others publish them, such as SimCLR's 1percent.txt of ImageNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from mmbench.data.text_lists import read_items, resolve
from mmbench.data.types import ImageFiles
from mmbench.errors import UserError
from mmbench.file_names import composed, printable

UNKNOWN = -1


class ImageNames:
    """Finds images by `name.jpg`, `class/name.jpg` or a path; by dictionary, as there may be a million."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self.first: dict[str, int] = {}
        self.others: dict[str, list[int]] = {}  # of the few names that several folders have
        for index, path in enumerate(paths):
            name = composed(path.rpartition("/")[2])
            if self.first.setdefault(name, index) != index:
                self.others.setdefault(name, []).append(index)

    def find(self, item: str) -> list[int]:
        """Return the indices of all images that `item` can mean."""
        item = composed(item.removeprefix("./"))
        folder, _, name = item.rpartition("/")
        if name not in self.first:
            return []
        found = [self.first[name], *self.others.get(name, [])]
        if not folder:
            return found
        exact = [index for index in found if composed(self.paths[index]) == item]
        return exact or [index for index in found if self._fits(composed(self.paths[index]), item, folder)]

    @staticmethod
    def _fits(path: str, item: str, folder: str) -> bool:
        # train/n01/a.JPEG for n01/a.JPEG; a.JPEG's path from further down; n01/a.JPEG for n01/images/a.JPEG
        return item.endswith(f"/{path}") or path.endswith(f"/{item}") or path.partition("/")[0] == folder


def labelled_indices(path: Path, files: ImageFiles | None, count: int) -> Tensor:
    """Return which images a list names, as sorted int64 indices.

    Published lists name images of the whole official train part, so `files` must hold our val split too.

    Args:
        path: one item per line. Images on disk are named by file name, by class folder and file name, or
            by a path; images of other data sets by their index from 0.
        files: the images to choose from; None where there are none on disk.
        count: images to choose from.

    Raises:
        UserError: a missing or empty file; an item that is unknown, out of range, ambiguous or named twice.
    """
    items = read_items(path, "list of labelled images")
    find = _index_finder(path, count) if files is None else _name_finder(path, files)
    seen: dict[int, int] = {}
    unknown: list[tuple[int, str]] = []
    for number, item in items:
        index = find(number, item)
        if index == UNKNOWN:
            unknown.append((number, item))
        elif seen.setdefault(index, number) != number:
            raise UserError(
                f"{path}, line {number}: '{printable(item)}' is named twice, first in line {seen[index]}"
            )
    if unknown:
        number, item = unknown[0]
        known = f"an index from 0 to {count - 1}" if files is None else f"an image in {files.root}"
        raise UserError(
            f"{path}, line {number}: '{printable(item)}' is not {known} "
            f"({len(unknown)} of {len(items)} items are not); "
            "take the list of this data set, or remove those lines"
        )
    return torch.tensor(sorted(seen), dtype=torch.int64)


def _index_finder(path: Path, count: int) -> Callable[[int, str], int]:
    def number_in(text: str) -> list[int]:
        return [int(text)] if text.removeprefix("-").isdecimal() else []

    def find(number: int, line: str) -> int:
        where = f"{path}, line {number}"
        if len(words := line.split()) > 1 and all(map(number_in, words)):
            raise UserError(f"{where}: '{printable(line)}' holds several numbers; write one index per line")
        found = resolve(line, number_in, where)
        if not found:
            raise UserError(
                f"{where}: '{printable(line)}' is not an index; "
                f"this data set has no image files, so name "
                f"images by index from 0 to {count - 1}"
            )
        return found[0] if 0 <= found[0] < count else UNKNOWN

    return find


def _name_finder(path: Path, files: ImageFiles) -> Callable[[int, str], int]:
    names = ImageNames(files.paths)

    def find(number: int, item: str) -> int:
        found = resolve(item, names.find, f"{path}, line {number}")
        if len(found) > 1:
            first, second = (printable(files.paths[index]) for index in found[:2])
            raise UserError(
                f"{path}, line {number}: '{printable(item)}' can be {first} or {second}; "
                "write the class folder in front"
            )
        return found[0] if found else UNKNOWN

    return find
