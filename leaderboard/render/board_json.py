"""Board to JSON: the frozen table as data, one line per row, column and cell."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from mmbench.leaderboard.board import Board
from mmbench.leaderboard.render.layout import row_columns

DIFFERENT = ("cells", "secondary", "rows", "columns")  # what is not written field by field


def board_json(board: Board, files: Iterable[str]) -> str:
    """Return a board as JSON; `files` are the files of its folder.

    "row_columns" says what the columns of the table beside the scores are; rows have a value for each.
    Cells name their row and column, and have the metrics that do not rank under "secondary".
    """
    about = row_columns(board)
    parts: dict[str, Any] = {"files": sorted(files)}
    parts |= {
        field.name: _plain(getattr(board, field.name))
        for field in dataclasses.fields(board)
        if field.name not in DIFFERENT
    }
    parts["row_columns"] = [
        {
            "name": column.name,
            "heading": column.heading,
            "explanation": column.explanation,
            "unit": column.unit,
        }
        for column in about
    ]
    parts["rows"] = [{column.name: column.value(row) for column in about} | _plain(row) for row in board.rows]
    parts["columns"] = [{"name": column.name, **_plain(column)} for column in board.columns]
    parts["cells"] = [
        {
            "row": row.name,
            "arm": row.arm,
            "column": column.name,
            **_fields(cell),
            "secondary": board.secondary.get((row.name, column.key), ()),
        }
        for row in board.rows
        for column in board.columns
        if (cell := board.cell(row, column)) is not None
    ]
    return "{\n" + ",\n".join(f"{json.dumps(name)}: {_lines(part)}" for name, part in parts.items()) + "\n}\n"


def _lines(part: Any) -> str:
    """Return one part of the board as JSON; of a list a line per entry."""
    if isinstance(part, list) and part:
        return "[\n" + ",\n".join(_line(entry) for entry in part) + "\n]"
    return _line(part)


def _fields(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass of numbers, texts and other dataclasses, as JSON has them."""
    found = {name: getattr(value, name) for name in value.__dataclass_fields__}
    for name, part in found.items():
        if isinstance(part, float) and math.isinf(part):
            found[name] = None  # JSON has no infinity: degrees of freedom of a normal distribution
    return found


_line = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_fields).encode


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: dataclasses as dictionaries; dictionaries by pairs of rows as lists."""
    if value is None or isinstance(value, str | int):
        return value
    if (fields := getattr(value, "__dataclass_fields__", None)) is not None:
        return {name: _plain(getattr(value, name)) for name in fields}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: _plain(entry) for key, entry in value.items()}
        return [{"of": _plain(key), "value": _plain(entry)} for key, entry in value.items()]
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and math.isinf(value):
        return None  # JSON has no infinity: degrees of freedom of a normal distribution
    return value
