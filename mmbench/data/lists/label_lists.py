"""Lists of labelled images as others publish them, such as SimCLR's 1percent.txt of ImageNet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from mmbench.data.lists.listed_names import ImageNames
from mmbench.data.lists.text_lists import read_items, resolve
from mmbench.errors import UserError
from mmbench.file_names import printable

UNKNOWN = -1


def labelled_indices(path: Path, names: ImageNames | None, count: int) -> Tensor:
    """Return which images a list names, as sorted int64 indices.

    Published lists name images of the whole official train part, so `names` must hold our val split too.

    Args:
        path: one item per line. Images on disk are named by file name, by class folder and file name, or
            by a path; images of other data sets by their index from 0.
        names: those of the images to choose from; None where there are none on disk.
        count: images to choose from.

    Raises:
        UserError: a missing or empty file; an item that is unknown, out of range, ambiguous or named twice.
    """
    items = read_items(path, "list of labelled images")
    find = _index_finder(path, count) if names is None else _name_finder(path, names)
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
        known = f"an index from 0 to {count - 1}" if names is None else f"an image in {names.where}"
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


def _name_finder(path: Path, names: ImageNames) -> Callable[[int, str], int]:
    def find(number: int, item: str) -> int:
        found = resolve(item, names.find, f"{path}, line {number}")
        if len(found) > 1:
            first, second = (printable(names.paths[index]) for index in found[:2])
            raise UserError(
                f"{path}, line {number}: '{printable(item)}' can be {first} or {second}; "
                "write its folders in front"
            )
        return found[0] if found and found[0] < names.asked else UNKNOWN

    return find
