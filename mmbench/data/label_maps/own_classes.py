"""Names and colours of classes in the files of a user's folder of label maps."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmbench.data.annotated.split_checks import require_distinct
from mmbench.data.label_maps.own_class_lines import Listed, classes_of_lines, valid_colour
from mmbench.data.label_maps.types import IGNORED, Colour, Stated
from mmbench.data.lists.text_lists import text_of
from mmbench.errors import UserError
from mmbench.file_names import counted, listed, printable

BACKGROUND = frozenset({"background", "_background_", "__background__", "unlabeled", "unlabelled"})
IGNORE = frozenset({"__ignore__", "_ignore_", "ignore", "ignored"})
NAME = ("name", "class", "classname", "label", "title", "category")
VALUE = ("value", "pixelvalue", "id", "index", "labelid", "trainid")
LISTS = ("classes", "labels", "categories")
CHANNELS = (("r", "red"), ("g", "green"), ("b", "blue"))


@dataclass(frozen=True)
class ClassFile:
    """What a file says of the classes of label maps.

    Attributes:
        path: below the root.
        remarks: what was decided, one line each.
    """

    path: str
    stated: Stated
    remarks: tuple[str, ...]


def find_classes(root: Path, folders: Sequence[str]) -> ClassFile | None:
    """Return what the files of a folder say of classes; None if there is no such file.

    Args:
        folders: others below the root in which such a file may lie.

    Raises:
        UserError: a file that cannot be read, or contradicts itself.
    """
    for folder in dict.fromkeys((".", *folders)):
        for name, read in READERS.items():
            path = root / folder / name
            if path.is_file() and (found := read(path)):
                shown = path.relative_to(root).as_posix()
                return ClassFile(shown, *_stated(path, shown, found))
    return None


def _stated(path: Path, shown: str, found: Sequence[Listed]) -> tuple[Stated, tuple[str, ...]]:
    remarks = [
        f"'{printable(item.name)}' in {shown} is no class, as value {IGNORED} is ignored"
        for item in found
        if item.value == IGNORED
    ]
    found = _in_order(path, [item for item in found if item.value != IGNORED])
    if (
        found and found[0].name.casefold() in IGNORE
    ):  # labelme's list: the background that follows has value 0
        remarks.append(f"'{printable(found[0].name)}' in {shown} is no class")
        found = found[1:]
    names = [listed_class.name for listed_class in found]
    require_distinct(names, shown)
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if not names or twice is not None:
        what = "no class" if twice is None else f"the class '{printable(twice)}' twice"
        raise UserError(f"{printable(path)} names {what}; every class needs one line")
    background = "background" if found[0].value == 1 else None  # value 0 is not in the list
    if names[0].casefold() in BACKGROUND:
        names[0] = background = names[0].strip("_")
    colours = [listed_class.colour for listed_class in found]
    palette = tuple(colour for colour in colours if colour is not None)
    if len(palette) < len(colours):
        palette = ()
    if len(set(palette)) < len(palette):
        same = next(colour for place, colour in enumerate(palette) if colour in palette[:place])
        raise UserError(f"{printable(path)} gives two classes the colour {same}; every class needs its own")
    what = f"{counted(len(names), 'class')} from {shown}{', with colours' if palette else ''}"
    return Stated(tuple(names), background, palette=palette), (what, *remarks)


def _in_order(path: Path, found: Sequence[Listed]) -> Sequence[Listed]:
    """Return classes in the order of their values.

    Raises:
        UserError: values that do not count from 0 or 1.
    """
    values = [item.value for item in found if item.value is not None]
    if len(values) < len(found) or not values:
        return found
    in_order = sorted(found, key=lambda item: item.value or 0)
    first = min(values)
    if first > 1 or sorted(values) != list(range(first, first + len(values))):
        raise UserError(
            f"the values of {printable(path)} ({listed([str(value) for value in sorted(values)])}) do not "
            "count from 0 or 1; list every value"
        )
    if first == 1 and in_order[0].name.casefold() in BACKGROUND:
        raise UserError(f"{printable(path)} gives the background the value 1, where it has 0; number it 0")
    return in_order


def _of_table(path: Path) -> list[Listed]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(text_of(path).splitlines()) if any(row)]
    heads = [re.sub(r"[\W_]+", "", cell.casefold()) for cell in rows[0]] if rows else []
    name = next((heads.index(word) for word in NAME if word in heads), None)
    if name is None:
        raise UserError(f"{printable(path)} has no column of names; begin it with a line such as name,r,g,b")
    value = next((heads.index(word) for word in VALUE if word in heads), None)
    places = [next((heads.index(word) for word in words if word in heads), None) for words in CHANNELS]
    found = []
    for row in rows[1:]:
        try:
            colour = (
                None if None in places else tuple(int(row[place]) for place in places if place is not None)
            )
            number = None if value is None else int(row[value])
            found.append(Listed(row[name], None if colour is None else valid_colour(path, colour), number))  # type: ignore[arg-type]
        except (IndexError, ValueError):
            raise UserError(
                f"{printable(path)}: the line {printable(','.join(row))} is not like the first, "
                f"{printable(','.join(rows[0]))}"
            ) from None
    return found


def _of_json(path: Path) -> list[Listed]:
    try:
        content = json.loads(text_of(path))
    except ValueError as error:
        raise UserError(f"{printable(path)} is not valid JSON ({error})") from None
    palette: Any = None
    if isinstance(content, dict):
        palette = content.get("palette")
        numbered = all(key.isdecimal() for key in content)  # {"0": "background", "1": "cat"}
        content = content if numbered else next((content[key] for key in LISTS if key in content), None)
    if isinstance(content, dict):
        content = [{"name": name, "id": number} for number, name in content.items()]
    if not isinstance(content, list) or not content:
        return []  # a JSON file of something else
    found = [_of_entry(path, entry) for entry in content]
    values = sorted(item.value for item in found if item.value is not None)
    if values not in (list(range(len(found))), list(range(1, len(found) + 1))):  # ids of a data base
        found = [replace(item, value=None) for item in found]
    if palette is None:
        return found
    if not isinstance(palette, list) or len(palette) != len(found):
        raise UserError(
            f"{printable(path)} has {len(found)} classes and another number of colours in palette"
        )
    return [
        Listed(item.name, _json_colour(path, colour), item.value)
        for item, colour in zip(found, palette, strict=True)
    ]


def _of_entry(path: Path, entry: object) -> Listed:
    if isinstance(entry, str):
        return Listed(entry)
    if isinstance(entry, dict):
        name = next((entry[key] for key in NAME if isinstance(entry.get(key), str)), None)
        colour = next((entry[key] for key in ("color", "colour", "rgb") if entry.get(key) is not None), None)
        number = str(entry.get("id", entry.get("value", "")))
        if name is not None:
            value = int(number) if number.isdecimal() else None
            return Listed(name, None if colour is None else _json_colour(path, colour), value)
    raise UserError(f"{printable(path)}: {printable(json.dumps(entry))[:80]} is not a class with a name")


def _json_colour(path: Path, value: object) -> Colour:
    """Return a colour: [255, 0, 0] or "#ff0000"."""
    if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        number = int(value[1:], 16)
        return number >> 16, number >> 8 & 255, number & 255
    if isinstance(value, list) and len(value) == 3 and all(type(channel) is int for channel in value):
        return valid_colour(path, (value[0], value[1], value[2]))
    raise UserError(
        f"{printable(path)}: {printable(json.dumps(value))[:80]} is not a colour; write [255, 0, 0]"
    )


READERS: Mapping[str, Callable[[Path], list[Listed]]] = {
    "labelmap.txt": classes_of_lines,
    "label_colors.txt": classes_of_lines,
    "class_dict.csv": _of_table,
    "_classes.csv": _of_table,
    "classes.csv": _of_table,
    "meta.json": _of_json,
    "classes.json": _of_json,
    "classes.txt": classes_of_lines,
    "class_names.txt": classes_of_lines,
    "labels.txt": classes_of_lines,
}
