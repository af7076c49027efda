"""The cells of a board: summaries, ranks within a column, differences to the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import pandas as pd

from mmbench.leaderboard.board import Cell, Column, ColumnKey, Delta, Run, SecondaryCell
from mmbench.leaderboard.columns import KEY
from mmbench.leaderboard.statistics.differences import difference_of, holm
from mmbench.leaderboard.statistics.groups import leading_group
from mmbench.leaderboard.statistics.ranking import ranks_of
from mmbench.leaderboard.statistics.runs import Runs
from mmbench.leaderboard.statistics.summaries import Summary, summarise

CellRuns = Mapping[ColumnKey, Mapping[str, Runs]]  # by column, then by row
Cells = dict[tuple[str, ColumnKey], Cell]


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
    cells: Cells = {}
    for column in columns:
        cells |= {(name, column.key): cell for name, cell in _of_column(runs, column, baseline, details)}
    return _adjusted(cells)


def _of_column(
    runs: CellRuns, column: Column, baseline: str | None, details: Mapping[object, Run]
) -> list[tuple[str, Cell]]:
    by_row = runs[column.key]
    summaries = {name: summarise(of_row) for name, of_row in by_row.items()}
    ranks = _ranks(summaries, column.higher_is_better)
    leading = leading_group(by_row, column.higher_is_better)
    return [
        (
            name,
            Cell(
                summary=summaries[name],
                rank=ranks[name],
                best=name in leading,
                delta=None
                if baseline is None or baseline not in by_row or name == baseline
                else _delta(of_row, by_row[baseline], column.higher_is_better),
                runs=tuple(details[index] for index in of_row.facts["index"]),
            ),
        )
        for name, of_row in by_row.items()
    ]


def _ranks(summaries: Mapping[str, Summary], higher_is_better: bool) -> dict[str, float]:
    """Return the rank of each row in a column, 1 for the best; equal means share their average rank."""
    import numpy as np

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


def _adjusted(cells: Cells) -> Cells:
    """Return the cells with the p values of their differences adjusted by Holm over the board."""
    tested = {
        key: cell.delta for key, cell in cells.items() if cell.delta is not None and cell.delta.p is not None
    }
    adjusted = holm([delta.p for delta in tested.values() if delta.p is not None])
    return cells | {
        key: replace(cells[key], delta=replace(delta, adjusted_p=p))
        for (key, delta), p in zip(tested.items(), adjusted, strict=True)
    }


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
        theirs = None if baseline is None else by_row.get(baseline)
        for name, ours in by_row.items():
            delta = None if theirs is None or name == baseline else _delta(ours, theirs, higher)
            cell = SecondaryCell(key[3], higher, unit, summarise(ours), delta)
            found.setdefault((name, by_place[key[:3]]), []).append(cell)
    return {place: tuple(cells) for place, cells in found.items()}
