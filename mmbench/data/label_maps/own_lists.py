"""Lists of images in a user's folder of label maps, each of which is a split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from mmbench.data.folder.split_names import splits_among
from mmbench.data.label_maps.own_words import is_label_map_name
from mmbench.data.lists.text_lists import read_items, spellings
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.file_names import listed, printable

# Where lists lie, the most usual first; "" is the folder itself, in which other text files lie too.
PLACES = ("ImageSets/Segmentation", "ImageSets", "splits", "")


@dataclass(frozen=True)
class Lists:
    """The lists of a folder.

    Attributes:
        files: name of a list -> its file, below the root.
        meanings: name of a list -> the split that it means.
        remarks: what was decided, one line each.
    """

    files: Mapping[str, str]
    meanings: Mapping[str, Split]
    remarks: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Entry:
    """A line of a list.

    Attributes:
        names: that it may mean, the most literal first.
        shortened: a name without the first folders -> these folders.
    """

    names: tuple[str, ...]
    shortened: Mapping[str, tuple[str, ...]]


def find_lists(root: Path) -> Lists | None:
    """Return the lists of a folder, None if it has none.

    Raises:
        UserError: several lists, none of which is named like a split.
    """
    for place in PLACES:
        folder = root / place
        lists = {path.stem: path.relative_to(root).as_posix() for path in sorted(folder.glob("*.txt"))}
        meanings = dict(splits_among(sorted(lists)))
        if meanings:
            return _named(place or "the folder", lists if place else {}, lists, meanings)
        if place and len(lists) == 1:
            name = next(iter(lists))
            return Lists(lists, {name: "train"}, (f"{lists[name]} is the only list, and is trained on",))
        if place and lists:
            raise UserError(
                f"none of the lists in {printable(folder)} is named like a split "
                f"({listed(sorted(lists))}); name one of them train.txt"
            )
    return None


def _named(
    place: str, every: Mapping[str, str], lists: Mapping[str, str], meanings: dict[str, Split]
) -> Lists:
    remarks = []
    whole = [name for name in meanings if name.casefold() == "trainval"]
    if whole and any(name not in whole and split == "train" for name, split in meanings.items()):
        meanings = {name: split for name, split in meanings.items() if name not in whole}
        remarks.append(f"{lists[whole[0]]} is not used, as a list of train is there")
    others = [name for name in every if name not in meanings and name not in whole]
    if others:
        remarks.append(f"lists in {place} that name no split are not used ({listed(others)})")
    return Lists({name: lists[name] for name in meanings}, meanings, tuple(remarks))


def read_entries(root: Path, listing: str) -> list[Entry]:
    """Return what each line of a list may mean; endings are left out.

    "1", "1.jpg", "JPEGImages/1.jpg" and "/JPEGImages/1.jpg /SegmentationClass/1.png" may all mean "1".

    Raises:
        UserError: the list cannot be read, or is empty.
    """
    found = []
    for _, line in read_items(root / listing, "list of images"):
        whole: dict[str, None] = {}
        shortened: dict[str, tuple[str, ...]] = {}
        for text in (*spellings(line), *spellings(line.split()[0])):
            path = PurePosixPath(text.lstrip("/"))
            parts = (path.with_suffix("") if is_label_map_name(path.name) else path).parts
            whole["/".join(parts)] = None
            for start in range(1, len(parts)):
                shortened.setdefault("/".join(parts[start:]), parts[:start])
        found.append(Entry(tuple(whole), shortened))
    return found
