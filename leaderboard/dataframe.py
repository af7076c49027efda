"""The leaderboard as a pandas table, for the Python API."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd

from mmbench.errors import UserError, shown
from mmbench.home import home_path
from mmbench.leaderboard.board import Cell
from mmbench.leaderboard.records.load import frame_of, load_frame
from mmbench.leaderboard.records.selection import select
from mmbench.leaderboard.table import make_board
from mmbench.records.store import Result, ResultStore
from mmbench.settings.python_values import require_one_of, require_texts, texts_of

Statistic = Literal["mean", "std", "runs", "low", "high", "rank", "delta", "delta_low", "delta_high", "p"]
Folder = str | os.PathLike[str]
LEVELS = ("task", "dataset", "protocol", "metric")


def build_leaderboard(
    results: Folder | Iterable[Folder] | Iterable[Result],
    *,
    baseline: str | None = None,
    statistic: Statistic = "mean",
    where: Sequence[str] = (),
) -> pd.DataFrame:
    """Return the leaderboard of result records: one row per arm, one column per task, data set and protocol.

    The numbers are those of `mmbench leaderboard`. The index, named "arm", holds the names of rows and is
    sorted by mean rank, the best first. Columns are a MultiIndex with the levels "task", "dataset",
    "protocol" and "metric" (the primary metric of the protocol), so `table["knn"]` holds the kNN columns, and
    `table.stack(...)` or `table.T` work as usual. Cells that were not measured are NaN.

    Args:
        results: a folder of records as `mmbench transfer --out` writes them, several, or `Result` objects.
        baseline: the row that differences refer to.
        statistic: what the cells hold. "mean": the mean over pretrainings, in the metric's unit (percent for
            accuracies); "std": the sample standard deviation over runs, NaN for a single run; "runs": their
            number; "low" and "high": the 95% interval of the mean; "rank": the rank in the column, 1 is best;
            "delta": the mean minus the baseline's mean; "delta_low" and "delta_high": its 95% interval; "p":
            its p value by Holm over all differences of the board.
        where: conditions on the records, such as "arch=resnet50"; see `mmbench leaderboard build --where`.

    Raises:
        UserError: no records, an unknown baseline or statistic, or records that do not compare: two versions
            of a protocol, other data, other settings.

    >>> table = build_leaderboard("demo/results")  # doctest: +SKIP
    >>> table.xs("top1", axis=1, level="metric").round(1)  # doctest: +SKIP
    """
    require_one_of(statistic, "statistic", get_args(Statistic))
    require_texts(baseline=baseline)
    given, conditions = _several(results), texts_of(where, "where", "arch=resnet50")
    folders = [home_path(place, "results") for place in given if not isinstance(place, Result)]
    records = [(_path(place), place) for place in given if isinstance(place, Result)]
    if folders and records:
        raise UserError("results are folders or records, not both")
    frame = select(load_frame(folders) if folders else frame_of(records), conditions, ())
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


def _several(results: Any) -> list[Any]:
    """Return folders or records as a list.

    Raises:
        UserError: they are something else.
    """
    given = [results] if isinstance(results, str | os.PathLike | Result) else results
    try:
        given = list(given)
    except TypeError:  # a number, or anything else from Python
        given = [given]
    if not given:
        raise UserError(f"results = {shown(results)}: name at least one folder or record")
    for place in given:
        if not isinstance(place, str | os.PathLike | Result):
            raise UserError(f"results = {shown(place)}: must be folders of records, or records of `evaluate`")
    return given


def _path(result: Result) -> str:
    """Return the path that the record has in a folder of results, for error messages."""
    return ResultStore(Path()).place_of(result).as_posix()


def _value(cell: Cell | None, is_baseline: bool, statistic: Statistic) -> float | None:
    if cell is None:
        return None
    if statistic.startswith("delta") or statistic == "p":
        return _difference(cell, is_baseline, statistic)
    if statistic in ("low", "high"):
        interval = cell.summary.interval
        return None if interval is None else getattr(interval, statistic)
    return cell.rank if statistic == "rank" else getattr(cell.summary, statistic)


def _difference(cell: Cell, is_baseline: bool, statistic: Statistic) -> float | None:
    delta = cell.delta
    if delta is None:
        return 0.0 if is_baseline and statistic == "delta" else None
    if statistic == "p":
        return delta.adjusted_p
    if statistic == "delta":
        return delta.value
    return None if delta.interval is None else getattr(delta.interval, statistic.removeprefix("delta_"))
