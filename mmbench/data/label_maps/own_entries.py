"""The images that lists name, in a user's folder of label maps: none stands for one that is missing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mmbench.data.label_maps.own_lists import Entry, read_entries
from mmbench.data.label_maps.types import Pair
from mmbench.errors import UserError
from mmbench.file_names import counted, listed, printable

SEPARATED = re.compile(r"[\\\s]+")  # folders of Windows, and columns


@dataclass
class _Known:
    """Pairs by all names that lists may have for them: what they are called, and the ends of their paths.

    Attributes:
        exact: what they are called and their whole paths; these go first.
    """

    root: Path
    pairs: Sequence[Pair]
    exact: dict[str, list[Pair]] = field(default_factory=dict)
    ends: dict[str, list[Pair]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for pair in self.pairs:
            stems = [path.rpartition(".")[0] for path in (pair.image, pair.label_map) if path]
            ends = (stem.split("/")[start:] for stem in stems for start in range(1, stem.count("/") + 1))
            for name in {pair.name, *stems}:
                self.exact.setdefault(name, []).append(pair)
            for name in {"/".join(end) for end in ends}:
                self.ends.setdefault(name, []).append(pair)

    @cached_property
    def folders(self) -> frozenset[str]:
        """Names of all folders below the root, without case."""
        paths = [path for pair in self.pairs for path in (pair.image, pair.label_map)]
        known = {part.casefold() for path in paths for part in path.split("/")[:-1]}
        return frozenset(known.union(*(map(str.casefold, names) for _, names, _ in os.walk(self.root))))

    def named(self, name: str) -> list[Pair]:
        """Return the pairs of a name."""
        return self.exact.get(name) or self.ends.get(name, [])

    def literal(self, entry: Entry, path: str) -> list[Pair]:
        """Return what an entry names as it is written; nothing if there is no such file.

        Args:
            path: of the list.

        Raises:
            UserError: it names several images.
        """
        found = next(filter(None, map(self.named, entry.names)), [])
        if len({pair.name for pair in found}) > 1:
            raise UserError(
                f"the line {printable(entry.names[0])} of {printable(self.root / path)} names several images "
                f"({listed([pair.image or pair.label_map for pair in found])}); write their folders too"
            )
        return found

    def shortened(self, entry: Entry) -> tuple[str, list[Pair]]:
        """Return what an entry names without its first folders, and its name with them.

        None of these folders may be below the root: there it tells images apart.
        """
        for name, folders in entry.shortened.items():
            found = self.named(name)
            left_out = {word.casefold() for part in folders for word in (part, *SEPARATED.split(part))}
            if len({pair.name for pair in found}) == 1 and not self.folders & left_out:
                return "/".join((*folders, name)), found
        return "", []


def named_pairs(root: Path, pairs: Sequence[Pair], lists: Mapping[str, str]) -> dict[str, tuple[Pair, ...]]:
    """Return name of a list -> the pairs that it names; where a file is missing, a pair without an image.

    A line whose first folders are nowhere below the root may mean a file without them, but never one that
    another line names.

    Args:
        lists: name of a list -> its file, below the root.

    Raises:
        UserError: a list that cannot be read or names none of the images; a line that names several.
    """
    known = _Known(root, pairs)
    lines = [(name, entry) for name, path in lists.items() for entry in read_entries(root, path)]
    literal = [known.literal(entry, lists[name]) for name, entry in lines]
    shortened = [
        ("", []) if found else known.shortened(entry)
        for (_, entry), found in zip(lines, literal, strict=True)
    ]
    taken = {pair for found in literal for pair in found}
    claims: dict[Pair, set[str]] = {}
    for text, found in shortened:
        for pair in found:
            claims.setdefault(pair, set()).add(text)
    clear = {pair for pair, texts in claims.items() if len(texts) == 1} - taken
    parts: dict[str, list[Pair]] = {name: [] for name in lists}
    missing: dict[str, list[Entry]] = {name: [] for name in lists}
    for (name, entry), as_written, (_, without) in zip(lines, literal, shortened, strict=True):
        found = as_written or (without if clear.issuperset(without) else [])
        if not found:
            missing[name].append(entry)
        parts[name] += found or [Pair("", entry.names[0], entry.names[0])]
    for name, path in lists.items():
        if len(missing[name]) == sum(other == name for other, _ in lines):
            count, such = counted(len(missing[name]), "line"), listed([missing[name][0].names[0]])
            raise UserError(
                f"none of the {count} of {printable(root / path)} names an image (such as {such}); write "
                f"paths below {printable(root)}"
            )
    return {name: tuple(dict.fromkeys(found)) for name, found in parts.items()}
