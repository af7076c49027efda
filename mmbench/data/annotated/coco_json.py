"""The content of a COCO annotation file: its tables, categories and ids, checked for their form."""

from __future__ import annotations

import gc
import json
import mmap
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmbench.data.annotated.split_checks import require_distinct
from mmbench.errors import UserError, shown, unknown_name
from mmbench.file_names import composed, printable

ROOT_MARKS = ("", "none", "null", "root")  # what exporters state as the supercategory of a root
FILE_NAME = re.compile(rb'"file_name"\s*:\s*("(?:[^"\\]|\\.)*")')


@dataclass(frozen=True)
class Category:
    """One category.

    Attributes:
        ids: as the file states them; several if the name occurs more than once.
        parent: the supercategory, "" if none is stated.
        boxes: number of annotations.
        entries: what the file says of each of the ids.
    """

    name: str
    ids: tuple[Hashable, ...]
    parent: str
    boxes: int
    entries: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class CocoContent:
    """A COCO file.

    Attributes:
        path: of the file.
        images, annotations: its entries.
        categories: in the order of their ids.
    """

    path: Path
    images: Sequence[Mapping[str, Any]]
    annotations: Sequence[Mapping[str, Any]]
    categories: tuple[Category, ...]


class Ids:
    """Positions by id. Ids that differ in type only (7, "7", "0007", 7.0) are the same."""

    def __init__(self, ids: Iterable[Any]) -> None:
        self._exact: dict[Hashable, int] = {}
        loose: dict[Hashable, int | None] = {}
        for position, key in enumerate(ids):
            first = self._exact.setdefault(key, position)
            if loose.setdefault(plain_id(key), first) != first:
                loose[plain_id(key)] = None  # "07" and "7" are two ids here
        self._loose = loose

    def position(self, key: Any) -> int | None:
        """Return the position of an id, None if there is none."""
        try:
            found = self._exact.get(key)
        except TypeError:  # a list or an object
            return None
        return self._loose.get(plain_id(key)) if found is None else found


def plain_id(key: Any) -> Hashable:
    """Return an id as an integer where it is one, else as text.

    >>> plain_id("000000000139"), plain_id(7.0), plain_id("a7")
    (139, 7, 'a7')
    """
    if isinstance(key, str):
        text = key.strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 40 else text
    if isinstance(key, float) and key.is_integer():
        return int(key)
    return key if isinstance(key, Hashable) else repr(key)


def read_content(path: Path) -> CocoContent:
    """Return the content of a COCO annotation file.

    Raises:
        UserError: it is missing, is not JSON, or lacks images, annotations or categories.
    """
    content = _parsed(path)
    name = printable(path)
    if not isinstance(content, dict):
        raise UserError(f"{name} is not a COCO annotation file: it holds a list, as files of detections do")
    tables = {}
    for key in ("images", "annotations", "categories"):
        table = content.get(key)
        if not isinstance(table, list):
            raise UserError(f"{name} is not a COCO annotation file: it has no list of {key}")
        tables[key] = table
        for number, entry in enumerate(table):
            if not isinstance(entry, dict):
                raise UserError(f"{name}: entry {number} of {key} is {shown(entry)}, not an object")
    uses = Counter(plain_id(entry.get("category_id")) for entry in tables["annotations"])
    categories = _categories(name, tables["categories"], uses)
    return CocoContent(path, tables["images"], tables["annotations"], categories)


def _parsed(path: Path) -> Any:
    collected = gc.isenabled()
    gc.disable()  # millions of new objects, none of them garbage: the collector would take half of the time
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"there is no annotation file {printable(path)}") from None
    except OSError as error:
        raise UserError(f"{printable(path)} cannot be read ({error.strerror})") from None
    except json.JSONDecodeError as error:
        raise UserError(
            f"{printable(path)}, line {error.lineno}: not valid JSON ({error.msg} at column {error.colno}); "
            "copy or export the file again"
        ) from None
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{printable(path)} is not valid JSON ({reason}); export it again") from None
    finally:
        if collected:
            gc.enable()


def _categories(
    path: str, entries: Sequence[Mapping[str, Any]], uses: Mapping[Hashable, int]
) -> tuple[Category, ...]:
    found: dict[str, Category] = {}
    names: dict[Hashable, str] = {}
    for entry in sorted(entries, key=lambda entry: _sort_key(entry.get("id"))):
        key, name = entry.get("id"), entry.get("name")
        if not isinstance(key, Hashable) or key is None or not isinstance(name, str | int | float):
            raise UserError(f"{path}: the category {shown(dict(entry))} lacks an id or a name")
        text = composed(str(name)).strip()
        if names.setdefault(plain_id(key), text) != text:
            raise UserError(
                f"{path}: categories '{names[plain_id(key)]}' and '{text}' have the same id {shown(key)}; "
                "number them apart"
            )
        known = found.get(text)
        if known is not None and key in known.ids:
            continue
        parent = entry.get("supercategory")
        found[text] = Category(
            text,
            (*(known.ids if known else ()), key),
            str(parent).strip() if parent is not None else "",
            uses.get(plain_id(key), 0) + (known.boxes if known else 0),
            (*(known.entries if known else ()), entry),
        )
    return tuple(found.values())


def _sort_key(key: Any) -> tuple[bool, Any]:
    plain = plain_id(key)
    return (False, plain) if isinstance(plain, int | float) else (True, str(plain))


def found_classes(contents: Iterable[CocoContent]) -> tuple[str, ...]:
    """Return the classes of all splits.

    The order is that of the category ids in the first split; other splits may add classes. A category without
    boxes that is only the root of the others, as some exporters write it, is not a class.

    Raises:
        UserError: names differ between splits in capital letters only.
    """
    merged: dict[str, list[Category]] = {}
    for content in contents:
        for category in content.categories:
            merged.setdefault(category.name, []).append(category)
    parents = Counter(parent for group in merged.values() for parent in {item.parent for item in group})
    dropped = [
        name
        for name, group in merged.items()
        if len(merged) > 1
        and not any(item.boxes for item in group)
        and all(item.parent.lower() in (*ROOT_MARKS, name.lower()) for item in group)
        and (parents[name] > 0 or all(parent.lower() in ROOT_MARKS for parent in parents))
        and (parents[name] > 0 or any(item.parent.lower() in ROOT_MARKS[1:] for item in group))
    ]
    classes = tuple(name for name in merged if name not in dropped)
    require_distinct(classes)
    return classes


def labels_of(content: CocoContent, classes: Sequence[str]) -> tuple[dict[Hashable, int | None], list[str]]:
    """Return the label of each category id, and the names of categories that have no class and no boxes.

    Ids are as `plain_id` gives them. The label is None for a category without a class.

    Raises:
        UserError: a category with boxes is not one of the classes.
    """
    index = {composed(name).strip(): label for label, name in enumerate(classes)}
    labels: dict[Hashable, int | None] = {}
    unused = []
    for category in content.categories:
        label = index.get(category.name)
        if label is None:
            if category.boxes:
                error = unknown_name("class", category.name, classes)
                raise UserError(
                    f"{printable(content.path)}: {error}; {category.boxes} boxes have this category"
                )
            unused.append(category.name)
        labels |= dict.fromkeys(map(plain_id, category.ids), label)
    return labels, unused


def file_names(path: Path) -> Iterator[str]:
    """Yield the names of the images in a COCO file, without parsing it: it may be of 500 MB."""
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for match in FILE_NAME.finditer(content):
                name = json.loads(match[1].decode("utf-8", "replace")).replace("\\", "/").lstrip("/")
                if name and "\0" not in name:
                    yield name
    except (OSError, ValueError):  # unreadable or empty; reading it for good says what is wrong
        return
