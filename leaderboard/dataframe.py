"""The leaderboard as a pandas table, for the Python API."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import pandas as pd

from mmbench.leaderboard.board import Cell
from mmbench.leaderboard.records.load import frame_of, load_frame
from mmbench.leaderboard.table import make_board
from mmbench.results import Result, ResultStore

Statistic = Literal["mean", "std", "runs", "rank", "delta"]
LEVELS = ("task", "dataset", "protocol", "metric")


def build_leaderboard(
    results: str | os.PathLike[str] | Iterable[Result],
    *,
    baseline: str | None = None,
    statistic: Statistic = "mean",
) -> pd.DataFrame:
    """Return the leaderboard of result records: one row per arm, one column per task, data set and protocol.

    The numbers are those of `mmbench leaderboard`. The index is named "arm" and sorted by mean rank, the
    best first. Columns are a MultiIndex with the levels "task", "dataset", "protocol" and "metric" (the
    primary metric of the protocol), so `table["knn"]` holds the kNN columns, and `table.stack(...)` or
    `table.T` work as usual. Cells that were not measured are NaN.

    Args:
        results: a folder of records as `mmbench transfer --out` writes them, or `Result` objects.
        baseline: the arm that "delta" refers to.
        statistic: what the cells hold. "mean": the mean over pretrainings, in the metric's unit (percent for
            accuracies); "std": the sample standard deviation over runs, NaN for a single run; "runs": their
            number; "rank": the rank in the column, 1 is best; "delta": the mean minus the baseline's mean.

    Raises:
        UserError: no records, an unknown baseline, or records that do not compare: two versions of a
            protocol, other data, other settings.

    >>> table = build_leaderboard("demo/results")  # doctest: +SKIP
    >>> table.xs("top1", axis=1, level="metric").round(1)  # doctest: +SKIP
    """
    if isinstance(results, str | os.PathLike):
        frame = load_frame(Path(results))
    else:
        frame = frame_of((_path(result), result) for result in results)
    board = make_board(frame, baseline)
    columns = [(column.task, column.dataset, column.protocol, column.metric) for column in board.columns]
    rows = [
        [_value(board.cell(row, column), row.baseline, statistic) for column in board.columns]
        for row in board.rows
    ]
    return pd.DataFrame(
        rows,
        index=pd.Index([row.name for row in board.rows], name="arm"),
        columns=pd.MultiIndex.from_tuples(columns, names=LEVELS),
        dtype=float,
    )


def _path(result: Result) -> str:
    """Return the path that the record has in a folder of results, for error messages."""
    path = ResultStore(Path()).path_of(
        result.model, result.protocol, result.dataset, result.config, result.seed
    )
    return path.as_posix()


def _value(cell: Cell | None, is_baseline: bool, statistic: Statistic) -> float | None:
    if cell is None:
        return None
    if statistic == "delta":
        return cell.delta.value if cell.delta is not None else 0.0 if is_baseline else None
    return cell.rank if statistic == "rank" else getattr(cell.summary, statistic)
