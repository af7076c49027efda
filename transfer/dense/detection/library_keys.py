"""Detectron2's own keys in a protocol's settings, such as `--set MODEL.RPN.NMS_THRESH=0.6`."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from detectron2.config import CfgNode

from mmbench.errors import UserError, shown


def apply_library(cfg: CfgNode, library: Mapping[str, Any]) -> None:
    """Set keys of a configuration.

    Args:
        library: dotted key -> value, as YAML reads it.

    Raises:
        UserError: there is no such key (near match named), it is a section, or its values are of another
            kind.
    """
    known = dict(_leaves(cfg))
    for key, value in library.items():
        if key not in known:
            section = next((name for name in known if name.startswith(f"{key}.")), None)
            if section is not None:
                raise UserError(
                    f"{key} is a section of Detectron2's keys; set one of them, such as {section}"
                )
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UserError(f"unknown key of Detectron2 {shown(key)}{hint}")
        *path, last = key.split(".")
        node = cfg
        for part in path:
            node = node[part]
        node[last] = _like(known[key], value, key)


def _leaves(node: CfgNode, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of every value below a node."""
    for name, value in node.items():
        if isinstance(value, CfgNode):
            yield from _leaves(value, f"{prefix}{name}.")
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
