"""Keys of a library's own configuration as settings, such as `--set MODEL.RPN.NMS_THRESH=0.6`."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mmbench.errors import UserError, shown

Optional = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def no_optional(section: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the keys that a section may have beside those that it has: none."""
    return {}


def apply_library(
    config: Any, library: Mapping[str, Any], owner: str, optional: Optional = no_optional
) -> None:
    """Set keys of a configuration of mappings, and of lists of mappings, whose items are numbered.

    Args:
        library: dotted key -> value, as YAML reads it.
        owner: the library's name.
        optional: from a section to names and usual values of the keys that it may have beside those that it
            has; None as a usual value stands for anything.

    Raises:
        UserError: there is no such key (near match named), it is a section, or its values are of another
            kind.
    """
    known = dict(_leaves(config, optional))
    for key, value in library.items():
        if key not in known:
            section = next((name for name in known if name.startswith(f"{key}.")), None)
            if section is not None:
                raise UserError(f"{key} is a section of {owner}'s keys; set one of them, such as {section}")
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UserError(f"unknown key of {owner} {shown(key)}{hint}")
        *path, last = key.split(".")
        node = config
        for part in path:
            if not isinstance(node, list) and part not in node:
                node[part] = copy.deepcopy(
                    dict(optional(node)[part])
                )  # a section that is left at its usual value
            node = node[int(part) if isinstance(node, list) else part]
        node[last] = _like(known[key], value, key)


def _leaves(node: Any, optional: Optional, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of every value below a section."""
    if isinstance(node, list):
        items: list[tuple[str, Any]] = [(str(index), value) for index, value in enumerate(node)]
    else:
        items = [
            *node.items(),
            *((name, value) for name, value in optional(node).items() if name not in node),
        ]
    for name, value in items:
        mappings = isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value)
        if isinstance(value, Mapping) or mappings:
            yield from _leaves(value, optional, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _like(before: Any, value: Any, key: str) -> Any:
    """Return `value` as the kind of thing that `before` is.

    Raises:
        UserError: it is of another kind.
    """
    if before is None:
        return value
    if isinstance(before, float) and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 1 as a whole number and 1e-3 as text
        except (TypeError, ValueError):
            pass
    elif isinstance(before, tuple | list) and isinstance(value, tuple | list):
        return type(before)(value)
    elif type(before) is type(value):
        return value
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    wanted = kinds.get(type(before), "a list")
    raise UserError(f"{key} = {shown(value)}: must be {wanted}, such as {shown(before)}")
