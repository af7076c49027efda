"""The cells of a board: summaries, ranks within a column, differences to the baseline."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pandas as pd

from mmbench.leaderboard.board import Board, Cell, Column, ColumnKey, Delta, Run, SecondaryCell
from mmbench.leaderboard.columns import KEY
from mmbench.leaderboard.statistics.differences import difference_of, holm
from mmbench.leaderboard.statistics.groups import leading_group
from mmbench.leaderboard.statistics.ranking import ranks_of
from mmbench.leaderboard.statistics.rounding import levelled
from mmbench.leaderboard.statistics.runs import Runs
from mmbench.leaderboard.statistics.summaries import Summary, summarise

CellRuns = Mapping[ColumnKey, Mapping[str, Runs]]  # by column, then by row
Cells = dict[tuple[str, ColumnKey], Cell]
Deltas = dict[tuple[str, ColumnKey], Delta]  # by row and column
MOST_COMPARED = 12  # rows of a board that are all compared with each other


def by_cell(records: pd.DataFrame, statistics: Sequence[str]) -> dict[ColumnKey, dict[str, Runs]]:
    """Return the runs by column and row, each with the columns of the frame that statistics read.

    The fact "index" is added: the index of each run in the frame.
    """
    facts = {name: records[name].to_numpy() for name in statistics} | {"index": records.index.to_numpy()}
    groups = records.groupby([*KEY, "row"], sort=False).indices
    found: dict[ColumnKey, dict[str, Runs]] = {}
    for names, places in sorted(groups.items(), key=lambda group: int(group[1][0])):
        task, dataset, protocol, metric, row = map(str, cast(tuple[object, ...], names))
        runs = Runs.of({name: values[places] for name, values in facts.items()})
        found.setdefault((task, dataset, protocol, metric), {})[row] = runs
    return found


def cells_of(
    runs: CellRuns, columns: tuple[Column, ...], baseline: str | None, details: Mapping[object, Run]
) -> Cells:
    """Return the cells of a board by row and column; p values are adjusted by Holm over all differences.

    Args:
        details: by index of the frame: what is known about a run.
    """
    deltas = _adjusted(
        {
            (name, column.key): _delta(of_row, runs[column.key][baseline], column.higher_is_better)
            for column in columns
            if baseline is not None and baseline in runs[column.key]
            for name, of_row in runs[column.key].items()
            if name != baseline
        }
    )
    cells: Cells = {}
    for column in columns:
        cells |= _of_column(runs[column.key], column, deltas, details)
    return cells


def differences_to_each(frame: pd.DataFrame, statistics: Sequence[str], board: Board) -> dict[str, Deltas]:
    """Return by the name of each row the differences of the others to it, as with it as the baseline.

    Empty for boards of more than `MOST_COMPARED` rows: the pairs grow with the square of the rows.

    Args:
        frame: the lines of primary values that the board was made from, in its order.
        statistics: names of the columns that the statistics read.
    """
    if len(board.rows) > MOST_COMPARED:
        return {}
    runs = by_cell(frame, statistics)
    found: dict[str, Deltas] = {row.name: {} for row in board.rows}
    for column in board.columns:
        by_row = runs[column.key]
        for one, other in itertools.combinations(by_row, 2):
            delta = _delta(by_row[one], by_row[other], column.higher_is_better)
            found[other][one, column.key] = delta
            found[one][other, column.key] = _reversed(delta)
    return {name: _adjusted(deltas) for name, deltas in found.items()}


def _of_column(
    by_row: Mapping[str, Runs], column: Column, deltas: Deltas, details: Mapping[object, Run]
) -> Cells:
    summaries = _summaries(by_row)
    ranks = _ranks(summaries, column.higher_is_better)
    leading = leading_group(by_row, column.higher_is_better)
    return {
        (name, column.key): Cell(
            summary=summaries[name],
            rank=ranks[name],
            best=name in leading,
            delta=deltas.get((name, column.key)),
            runs=tuple(details[index] for index in of_row.facts["index"]),
        )
        for name, of_row in by_row.items()
    }


def _summaries(by_row: Mapping[str, Runs]) -> dict[str, Summary]:
    """Return the summaries of a column's rows; means that differ by rounding alone are equal."""
    summaries = {name: summarise(of_row) for name, of_row in by_row.items()}
    means = levelled(np.array([summary.mean for summary in summaries.values()])).tolist()
    pairs = zip(summaries.items(), means, strict=True)
    return {name: replace(summary, mean=mean) for (name, summary), mean in pairs}


def _ranks(summaries: Mapping[str, Summary], higher_is_better: bool) -> dict[str, float]:
    """Return the rank of each row in a column, 1 for the best; equal means share their average rank."""
    sign = 1 if higher_is_better else -1
    means = np.array([sign * summary.mean for summary in summaries.values()])
    return dict(zip(summaries, ranks_of(means).tolist(), strict=True))


def _delta(ours: Runs, theirs: Runs, higher_is_better: bool) -> Delta:
    found = difference_of(ours, theirs)
    return Delta(
        value=found.value,
        better=None if found.value == 0 else (found.value > 0) == higher_is_better,
        interval=found.interval,
        p=found.p,
        method=found.method,
        paired=found.paired,
    )


def _reversed(delta: Delta) -> Delta:
    """Return the difference of the other row to this one."""
    interval = delta.interval
    if interval is not None:
        interval = replace(interval, low=-interval.high, high=-interval.low)
    better = None if delta.better is None else not delta.better
    return replace(delta, value=-delta.value, better=better, interval=interval)


def _adjusted(deltas: Deltas) -> Deltas:
    """Return the differences with their p values adjusted by Holm over all of them."""
    tested = {key: delta.p for key, delta in deltas.items() if delta.p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return {key: replace(delta, adjusted_p=adjusted.get(key)) for key, delta in deltas.items()}


def secondary_of(
    frame: pd.DataFrame, statistics: Sequence[str], columns: tuple[Column, ...], baseline: str | None
) -> dict[tuple[str, ColumnKey], tuple[SecondaryCell, ...]]:
    """Return by row and column the metrics that do not rank; their p values are not adjusted.

    Args:
        frame: of all records.
        statistics: names of the columns that the statistics read.
    """
    others = frame[~frame["primary"].astype(bool)]
    by_place = {column.key[:3]: column.key for column in columns}
    parts = by_cell(others, statistics)
    meta = others.drop_duplicates(KEY).set_index(KEY)[["higher_is_better", "unit"]].to_dict("index")
    found: dict[tuple[str, ColumnKey], list[SecondaryCell]] = {}
    for key, by_row in sorted(parts.items()):
        higher, unit = bool(meta[key]["higher_is_better"]), meta[key]["unit"]
        theirs, summaries = None if baseline is None else by_row.get(baseline), _summaries(by_row)
        for name, ours in by_row.items():
            delta = None if theirs is None or name == baseline else _delta(ours, theirs, higher)
            cell = SecondaryCell(key[3], higher, unit, summaries[name], delta)
            found.setdefault((name, by_place[key[:3]]), []).append(cell)
    return {place: tuple(cells) for place, cells in found.items()}
