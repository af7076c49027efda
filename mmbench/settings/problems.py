"""One line for settings that pydantic refuses: the setting's name, its value and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mmbench.errors import UserError, shown

_UNKNOWN = object()


def first_problem(error: ValidationError, given: Any, *, prefix: str = "", owner: str = "") -> UserError:
    """Return an error about the first invalid setting: its name, its value, and what is allowed.

    A value that may be of several kinds is refused once for each: the kind counts that fits it best, whose
    error is about the innermost part of the value; of several such kinds the error says what each allows.

    Args:
        error: from pydantic.
        given: what it refused, in which the names of settings are found: pydantic's own have names of kinds
            and functions between them.
        prefix: prefix of the setting's name, such as "framework.".
        owner: owner of the settings, such as a protocol's id.
    """
    found = error.errors(include_url=False)
    places = [_place(details, given) for details in found]
    alike = _alternatives(found, places)
    deepest = max(alike, key=lambda number: len(places[number]))
    first, place = found[deepest], places[deepest]
    where = (prefix + ".".join(str(part) for part in place)).rstrip(".")
    reasons = dict.fromkeys(_reason(found[number]) for number in alike if places[number] == place)
    setting = f"setting '{where}' of {owner}" if owner else f"setting {where}"
    if first["type"] == "missing":
        return UserError(f"{setting} is missing")
    if first["type"] == "extra_forbidden":
        return UserError(f"there is no {setting}")
    if not place:
        return UserError(f"{where or owner or 'settings'}: {' or '.join(reasons)}")
    return UserError(f"{setting} = {shown(first['input'])}: {' or '.join(reasons)}")


def _place(details: ErrorDetails, given: Any) -> tuple[int | str, ...]:
    """Return the names and numbers that lead to a value in `given`, from an error's, which has more."""
    node, place, parts = given, list[int | str](), details["loc"]
    for number, part in enumerate(parts):
        if (isinstance(node, Mapping) and part in node) or _is_item(part, node):
            node = node[part]
        elif isinstance(part, str) and number and _is_kind(details, part, node, number == len(parts) - 1):
            continue
        else:
            node = _UNKNOWN  # a default, or what a validator put in place
        place.append(part)
    return tuple(place)


def _is_item(part: int | str, node: Any) -> bool:
    return isinstance(part, int) and isinstance(node, list | tuple) and part < len(node)


def _is_kind(details: ErrorDetails, part: str, node: Any, last: bool) -> bool:
    """Return whether a part names a kind of value, such as "int" or "tuple[int, int]", and no setting."""
    if "[" in part or node is _UNKNOWN:
        return "[" in part
    if not isinstance(node, Mapping) or not last:
        return True
    return details["type"] != "missing" and details["input"] is node


def _alternatives(found: Sequence[ErrorDetails], places: Sequence[tuple[int | str, ...]]) -> list[int]:
    """Return the numbers of the errors about the first value, one or more for each kind that it may be."""
    kind = next((i for i, part in enumerate(found[0]["loc"]) if places[0][i : i + 1] != (part,)), None)
    if kind is None:
        return [0]
    value = found[0]["loc"][:kind]
    return [number for number, details in enumerate(found) if details["loc"][:kind] == value]


def _reason(details: ErrorDetails) -> str:
    reason = details["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    return reason.replace("a valid tuple", "a list")
