"""Snapshot: a board as plain data, from a folder with a board, from board.json, or from records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mmbench.errors import UserError
from mmbench.leaderboard.board import Column, ColumnKey
from mmbench.leaderboard.build import INDEX, read_board
from mmbench.leaderboard.render.board_json import board_json


@dataclass(frozen=True)
class Snapshot:
    """The parts of a board that are compared, as board.json has them.

    Attributes:
        rows: by name of the row.
        columns: by key.
        cells: by name of the row and key of the column; their runs have what they were made with in place of
            its number.
        secondary: of each cell the metrics that do not rank, by name.
        plain: all of board.json.
    """

    source: str
    baseline: str | None
    verdict: str
    rows: Mapping[str, dict[str, Any]]
    columns: Mapping[ColumnKey, dict[str, Any]]
    cells: Mapping[tuple[str, ColumnKey], dict[str, Any]]
    environment: Mapping[str, tuple[str, ...]]
    footnotes: tuple[str, ...]
    secondary: Mapping[tuple[str, ColumnKey], dict[str, dict[str, Any]]]
    plain: Mapping[str, Any]


def read_snapshot(source: Path, baseline: str | None = None) -> Snapshot:
    """Read a board.

    Args:
        source: a folder that `mmbench leaderboard build` wrote, its board.json, or a folder of records.
        baseline: of a board that is built from records here.

    Raises:
        UserError: it is none of these, or an older version of mmbench wrote it.
    """
    if not source.exists():
        raise UserError(f"no {source}; name a board's folder, a board.json, or a folder of records")
    path = source / INDEX if source.is_dir() else source
    if path.is_file():
        return _parsed(path, source)
    # board.json is what is compared, so records go the same way: through JSON.
    board = read_board(source, baseline, published=False)
    return _snapshot(json.loads(board_json(board, ())), str(source))


def _parsed(path: Path, source: Path) -> Snapshot:
    try:
        return _snapshot(json.loads(path.read_text(encoding="utf-8")), str(source))
    except (LookupError, TypeError, AttributeError):
        reason = "is not the board.json of this version of mmbench; build that board again"
    except (OSError, ValueError, RecursionError) as error:
        reason = f"cannot be read: {error}"
    raise UserError(f"{path} {reason}")


def _snapshot(plain: dict[str, Any], source: str) -> Snapshot:
    columns: dict[ColumnKey, dict[str, Any]] = {}
    keys: dict[str, ColumnKey] = {}
    for column in plain["columns"]:
        key = (column["task"], column["dataset"], column["protocol"], column["metric"])
        columns[key] = column
        keys[Column(**{field.name: column[field.name] for field in fields(Column)}).name] = key
    made = [dict(entry) for entry in plain.get("provenances") or ()]
    cells = {
        (cell["row"], keys[cell["column"]]): {
            **cell,
            "runs": [_with_provenance(run, made) for run in cell["runs"]],
        }
        for cell in plain["cells"]
    }
    return Snapshot(
        source=source,
        baseline=plain["baseline"],
        verdict=plain.get("verdict", ""),
        rows={row["name"]: row for row in plain["rows"]},
        columns=columns,
        cells=cells,
        environment={what: tuple(values) for what, values in plain["environment"]},
        footnotes=tuple(plain.get("footnotes") or ()),
        secondary={
            key: {metric["metric"]: metric for metric in cell.get("secondary") or ()}
            for key, cell in cells.items()
        },
        plain=plain,
    )


def _with_provenance(run: dict[str, Any], made: list[dict[str, str]]) -> dict[str, Any]:
    place = run.get("provenance")
    return {**run, "provenance": None if place is None else made[place]}
