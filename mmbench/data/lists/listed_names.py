"""Which image a line of a published list names: by file name, by class and file name, or by a path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmbench.data.dataset import Dataset
from mmbench.data.folder.split_names import FILLERS, splits_among
from mmbench.data.lists.image_paths import data_folder, folder_below
from mmbench.data.lists.text_lists import SEPARATORS
from mmbench.data.types import SPLITS, Split
from mmbench.file_names import composed, original_name, printable

COLUMNS = re.compile(f"[{SEPARATORS}]")


@dataclass(frozen=True)
class NamedPart:
    """One split, as lists may name its images.

    Attributes:
        split: which one it is.
        folder: that the paths are relative to, see `folder_below`; None where it is not known.
        paths: one per image.
    """

    split: Split
    folder: str | None
    paths: Sequence[str]


class ImageNames:
    """Finds images by what lists call them; by dictionary, as there may be a million.

    A line whose folders name a split means an image of that split. Folders are left out of a path only if
    the data set has none of these names. A line without split folders means the first split that has it.

    Args:
        parts: splits, in the order that indices count through.
        root: the folder of the data.
        asked: how many of the parts are asked for; the images of the others are known.

    Attributes:
        asked: images of the parts that are asked for, whose indices are the first.
        where: what is asked for, in words.
        paths: of all images, below the folder of the data.
    """

    def __init__(self, parts: Sequence[NamedPart], root: Path, asked: int) -> None:
        self.parts, self.root = parts, root
        self.asked = sum(len(part.paths) for part in parts[:asked])
        self.where = f"{' or '.join(part.split for part in parts[:asked])} of {printable(root)}"
        self.paths: list[str] = []
        self._part: list[int] = []
        for number, part in enumerate(parts):
            start = f"{part.folder}/" if part.folder else ""
            self.paths += [composed(start + path) for path in part.paths]
            self._part += [number] * len(part.paths)
        last = [(part.folder or "").rpartition("/")[2] for part in parts]
        named = splits_among(list(dict.fromkeys(last)))
        self._meant = [named.get(name) for name in last]
        folders = {path.rpartition("/")[0] for path in self.paths}
        self._folders = {name for folder in folders for name in folder.split("/") if name}
        self._first: dict[str, int] = {}
        self._others: dict[str, list[int]] = {}  # of the few names that several folders have
        for index, path in enumerate(self.paths):
            name = path.rpartition("/")[2]
            if self._first.setdefault(name, index) != index:
                self._others.setdefault(name, []).append(index)
        places = {composed(str(place)) for place in (root.absolute(), root.resolve())}
        self._places = tuple(f"{place.rstrip('/')}/" for place in places)

    def find(self, item: str) -> list[int]:
        """Return the indices of all images that `item` can mean; from `asked` on they are of other parts."""
        found = self._find(composed(item.removeprefix("./")))
        if not found and "\\" in item:  # as outcomes spell names that are not UTF-8
            found = self._find(composed(original_name(item.removeprefix("./"))))
        return found

    def _find(self, item: str) -> list[int]:
        here = next((place for place in self._places if item.startswith(place)), "")
        item = item.removeprefix(here)
        folder, _, name = item.rpartition("/")
        if name not in self._first:
            return []
        found = [self._first[name], *self._others.get(name, [])]
        exact = [index for index in found if self.paths[index] == item]
        if here or exact:  # a file of this machine is itself, or none
            return self._of_first_part(exact)
        if not folder:
            return [index for index in found if index < self.asked]
        ends = [index for index in found if index < self.asked and self.paths[index].endswith(f"/{item}")]
        whole = [index for index in ends if len(item) == len(self.paths[index]) - self._start(index)]
        if ends:
            return self._of_first_part(whole) or ends
        words = [word for word in item.split("/") if word]
        if any(part in self._first for word in words[:-1] for part in COLUMNS.split(word)):
            return []  # a line of a table, and no path
        end = "/".join(words[-2:])
        for some in ([index for index in found if self.paths[index].endswith(end)], found):
            ranks = {index: rank for index in some if (rank := self._rank(index, words))}
            if ranks:
                best = max(ranks.values())
                return self._of_first_part([index for index, rank in ranks.items() if rank == best])
        return []

    def _start(self, index: int) -> int:
        """Return where the path below the folder of its split begins in an image's path."""
        folder = self.parts[self._part[index]].folder
        return len(composed(folder)) + 1 if folder else 0

    def _of_first_part(self, found: list[int]) -> list[int]:
        first = min((self._part[index] for index in found), default=0)
        return [index for index in found if self._part[index] == first]

    def _rank(self, index: int, words: Sequence[str]) -> int:
        """Return how well an image suits a path that is not the end of its own, 0 where it does not.

        Args:
            words: the folders and the name in the path.
        """
        start, path = self._start(index), self.paths[index]
        own = path.split("/")
        depth = path[:start].count("/")
        pairs = zip(reversed(words), reversed(own), strict=False)
        common = next((place for place, (ours, theirs) in enumerate(pairs) if ours != theirs), len(words))
        common = min(common, len(own))
        if common > len(own) - depth:
            return 2 * common  # the split folder is in the path
        if common == len(own) - depth:
            of_split = self._names_split(words[:-common], index)
            return 0 if of_split is None else 2 * common - 1 + of_split
        in_class = list(words[:-1]) in ([own[depth]], own[: depth + 1])
        return 1 if in_class else 0  # n01/a.JPEG for n01/images/a.JPEG

    def _names_split(self, folders: Sequence[str], index: int) -> bool | None:
        """Return whether the folders before an image's path in its split name the split.

        False is that they name none, and None that they name something else of the data set.
        """
        part, meant = self.parts[self._part[index]], self._meant[self._part[index]]
        last = next((name for name in reversed(folders) if name.casefold() not in FILLERS), "")
        if not last or last == self.root.name:
            return False
        if last in composed(part.folder or "").split("/"):
            return True
        split = splits_among([last]).get(last)
        if split is None:
            return None if last in self._folders else False
        if part.folder is None:
            return True if split == part.split else None if split != "train" else False
        return True if split == (meant or "train") else None


def image_names(dataset: Dataset) -> ImageNames | None:
    """Return the names of the images of train and val, where lists of labelled images look them up.

    None where the data set is not made of files.
    """
    parts = [
        NamedPart(split, folder_below(dataset, files), files.paths)
        for split in SPLITS
        if split in dataset.files and (files := dataset.files[split]()) is not None
    ]
    asked = sum(part.split != "test" for part in parts)
    return ImageNames(parts, data_folder(dataset), asked) if asked else None
