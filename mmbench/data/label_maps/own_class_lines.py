"""Classes in text files of a user's folder of label maps: a line per class, with its value or colour."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmbench.data.label_maps.types import Colour
from mmbench.data.lists.text_lists import text_of
from mmbench.errors import UserError
from mmbench.file_names import listed, printable

# "cat:255,0,0::" (CVAT), "255 0 0 cat" (CamVid), "cat 255 0 0", "cat,255,0,0"
COLOUR = r"(?P<red>\d{1,3})[\s,]+(?P<green>\d{1,3})[\s,]+(?P<blue>\d{1,3})"
LINES = (
    re.compile(rf"(?P<name>[^:]+):\s*{COLOUR}\s*(?::.*)?"),
    re.compile(rf"{COLOUR}[\s,]+(?P<name>.*\S)"),
    re.compile(rf"(?P<name>.*?[^\s,])[\s,]+{COLOUR}"),
)
NUMBERED = re.compile(r"(?P<value>\d+)\s*[:,;\s]\s*(?P<name>.*\S)")
# "cat: 1", "cat,1"; and "cat 1", which may be a name
VALUED = re.compile(r"(?P<name>[^:]*[^:\s])\s*:\s*(?P<value>\d+)\s*(?::.*)?")
COLUMNS = re.compile(r"(?P<name>.*[^,;\s])\s*[,;]\s*(?P<value>\d+)")
ENDING = re.compile(r".*\D (?P<value>\d+)")
PADDED = re.compile(r"0\d+ .*|.*\D 0\d+")  # "0003 cat", "cat 0003": a number as ids are written


@dataclass(frozen=True)
class Listed:
    """A class as a file lists it.

    Attributes:
        value: in the label maps; None where the place in the list is meant.
    """

    name: str
    colour: Colour | None = None
    value: int | None = None


def classes_of_lines(path: Path) -> list[Listed]:
    """Return the classes of a file with a line per class.

    Raises:
        UserError: it cannot be read, or contradicts itself.
    """
    lines = [" ".join(line.split()) for line in text_of(path).splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    for form in LINES:
        matches = [form.fullmatch(line) for line in lines]
        if lines and all(matches):
            return [
                Listed(match["name"].strip(), _colour(path, match)) for match in matches if match is not None
            ]
    numbered = [NUMBERED.fullmatch(line) for line in lines]
    if len(lines) > 1 and all(numbered):
        found = [Listed(match["name"], value=int(match["value"])) for match in numbered if match]
        # Names may begin with numbers, such as "20 mph", but not with "20:".
        if min(item.value or 0 for item in found) < 2 or all(re.match(r"\d+ ?:", line) for line in lines):
            return found
    return _of_values(path, lines)


def _of_values(path: Path, lines: Sequence[str]) -> list[Listed]:
    """Return the classes of lines such as "cat: 1", or of names alone.

    Raises:
        UserError: some lines have a value and others not, or two have the same.
    """
    matches = [VALUED.fullmatch(line) for line in lines]
    columns = [COLUMNS.fullmatch(line) for line in lines]
    if all(columns):
        matches = columns
    if not any(matches):
        _require_in_order(path, lines)
        return [Listed(line.partition(":")[0].strip()) for line in lines]
    known: dict[int, str] = {}
    for line, match in zip(lines, matches, strict=True):
        if match is None:
            raise UserError(
                f"{printable(path)}: the line {printable(line)} has no value, where others do; add it"
            )
        if (value := int(match["value"])) in known:
            raise UserError(
                f"{printable(path)} gives {listed([known[value], match['name']])} the value {value}; every "
                "class needs its own"
            )
        known[value] = match["name"]
    return [Listed(name, value=value) for value, name in known.items()]


def _require_in_order(path: Path, lines: Sequence[str]) -> None:
    """Check names with numbers, such as "stage 1".

    Raises:
        UserError: they look like values: with zeros in front, numbers alone, or in another order than that of
            the lines.
    """
    padded = next(filter(PADDED.fullmatch, lines), None)
    if padded and (all(map(NUMBERED.fullmatch, lines)) or all(map(ENDING.fullmatch, lines))):
        raise UserError(
            f"it is unclear whether the numbers in lines of {printable(path)} are values or part of names "
            f"(such as {printable(padded)}); write '3: cat' for values, and '_' for the blanks of names"
        )
    if lines and all(map(str.isdecimal, lines)) and not _counts([int(line) for line in lines]):
        raise UserError(
            f"it is unclear whether the lines of {printable(path)} are values or names, as they are numbers "
            f"alone (such as {printable(lines[0])}); write '3: cat' for class cat of value 3"
        )
    values = [int(match["value"]) for line in lines if (match := ENDING.fullmatch(line))]
    if values != sorted(values) and _counts(sorted(values)) and len(values) == len(lines):
        raise UserError(
            f"it is unclear whether the numbers at the ends of lines of {printable(path)} are values or part "
            f"of names (such as {printable(lines[0])}); write 'name: 0' for values, or sort the lines"
        )


def _counts(values: list[int]) -> bool:
    """Return whether numbers count from 0 or 1 in their order."""
    return values in (list(range(len(values))), list(range(1, len(values) + 1)))


def _colour(path: Path, match: re.Match[str]) -> Colour:
    return valid_colour(path, (int(match["red"]), int(match["green"]), int(match["blue"])))


def valid_colour(path: Path, colour: Colour) -> Colour:
    """Return a colour of a file.

    Raises:
        UserError: it is none.
    """
    if not all(0 <= channel <= 255 for channel in colour):
        raise UserError(f"{printable(path)} has the colour {colour}; channels are 0 to 255")
    return colour
