"""What the drawers of the page show: the runs behind every cell, as compressed JSON inside the page."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from mmbench.formatting import DIFFERENCE_DECIMALS, between
from mmbench.leaderboard.board import Board, Cell, Column, Delta, Row, Run
from mmbench.leaderboard.cells import MOST_COMPARED, Deltas
from mmbench.leaderboard.render.wording import (
    MISSING,
    delta_class,
    delta_words,
    p_words,
    score,
    seconds_words,
)

# Settings that only records of a user's own files have, and what running such a record again takes.
FILES_OF_ITS_OWN = {
    "protocol_file_sha256": "--protocol and the file that it followed",
    "labels_file_sha256": "--labels-file and the list of labelled images that it used",
}
MOST_RUNS = 12_000  # in the page; beyond that each cell has its first runs, and runs.csv all


def page_data(board: Board, records: str | None, others: Mapping[str, Deltas] = MappingProxyType({})) -> str:
    """Return the runs, rows and columns of a board as JSON, compressed by gzip, in base64.

    So it takes a sixth of its size, and no name in it can end the element that holds it. Texts that repeat
    (folders, weights, dates) are written once, in `texts`, and so is the code and machine of runs, in
    `provenances`; runs hold their places.

    Args:
        records: address of the results folder as seen from the page; None if it cannot be linked.
        others: see `render_page`.
    """
    texts = _Texts()
    most = _most_runs_of_a_cell(board)
    data = {
        "baseline": board.baseline,
        "records": records,
        "decimals": DIFFERENCE_DECIMALS,
        "columns": [_column(column) for column in board.columns],
        "rows": [_row(row) for row in board.rows],
        "cells": [
            [_cell(board.cell(row, column), column, texts, most) for column in board.columns]
            for row in board.rows
        ],
        "most_compared": MOST_COMPARED,
        "others": [_others(board, others[row.name], texts) for row in board.rows] if others else [],
        "texts": texts.all,
        "provenances": board.provenances,
    }
    text = json.dumps(data, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


class _Texts:
    """A list of different texts, and the place of each."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {"": 0}

    def place(self, text: str | None) -> int:
        return self._places.setdefault(text or "", len(self._places))

    @property
    def all(self) -> list[str]:
        return list(self._places)


def _most_runs_of_a_cell(board: Board) -> int:
    """Return how many runs a cell may show, so that the page has at most about MOST_RUNS of them."""
    if sum(len(cell.runs) for cell in board.cells.values()) <= MOST_RUNS:
        return MOST_RUNS
    return max(1, MOST_RUNS // len(board.cells))


def _column(column: Column) -> dict[str, Any]:
    settings = json.loads(column.config)
    return {
        "name": column.name,
        "label": column.label,
        "task": column.task,
        "dataset": column.dataset,
        "protocol": column.protocol,
        "unit": column.unit,
        "higher": column.higher_is_better,
        "needs": [words for name, words in FILES_OF_ITS_OWN.items() if name in settings],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "arch": row.arch,
        "data": row.pretrain_data or MISSING,
        "control": row.control,
        "ranked": row.ranked,
    }


def _cell(cell: Cell | None, column: Column, texts: _Texts, most: int) -> list[Any] | None:
    if cell is None:
        return None
    runs = [_run(run, column, texts) for run in cell.runs[:most]]
    delta = _difference(cell.delta, column, texts)
    return [cell.summary.mean, round(cell.rank, 2), len(cell.runs), runs, delta]


def _test(delta: Delta, texts: _Texts) -> list[Any]:
    return [p_words(delta.p), p_words(delta.adjusted_p), texts.place(delta.method), int(delta.paired)]


def _difference(delta: Delta | None, column: Column, texts: _Texts) -> list[Any] | None:
    """Return a difference as the static table has it, and how it was tested."""
    if delta is None:
        return None
    value, _, interval = delta_words(delta, column).partition(" ")
    return [delta_class(delta), value, interval, _test(delta, texts)]


def _others(board: Board, deltas: Deltas, texts: _Texts) -> list[list[Any]]:
    """Return the differences to one row, by row and column."""
    return [
        [_difference(deltas.get((row.name, column.key)), column, texts) for column in board.columns]
        for row in board.rows
    ]


def _run(run: Run, column: Column, texts: _Texts) -> list[Any]:
    """Return a run as the script expects it, in the order of its `runDetails`."""
    above, slash, name = run.record.rpartition("/")
    folder = above + slash
    return [
        score(run.value, column),
        "" if run.interval is None else between(run.interval, column.unit),
        None if run.pretraining_seed is None else str(run.pretraining_seed),  # exact beyond 2^53 too
        str(run.transfer_seed),
        texts.place(run.weights[:16]),
        texts.place(folder),
        name,
        texts.place((run.labels or "")[:16]),
        texts.place(run.created[:10]),
        run.provenance,
        "" if len(column.effective_lrs) < 2 or run.effective_lr is None else str(run.effective_lr),
        "" if run.wall_seconds is None else seconds_words(run.wall_seconds),
        "" if run.compute_seconds is None else seconds_words(run.compute_seconds),
        [_beside(file, folder, name.rpartition(".")[0]) for file in run.files],
    ]


def _beside(file: str, folder: str, stem: str) -> str:
    """Return a file's name, shortened to "*.losses.png" where it begins like the record's."""
    name = file.removeprefix(folder)
    return f"*{name.removeprefix(stem)}" if name.startswith(stem) else name
