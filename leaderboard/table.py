"""Tidy frame to Board."""

from __future__ import annotations

import pandas as pd

from mmbench.errors import unknown_name
from mmbench.leaderboard.board import Board, Ranking
from mmbench.leaderboard.cells import Deltas, by_cell, cells_of, differences_to_each, secondary_of
from mmbench.leaderboard.columns import columns_of
from mmbench.leaderboard.facts import footnotes
from mmbench.leaderboard.measured_runs import ORDER, runs_of
from mmbench.leaderboard.provenance import environment, provenances_of
from mmbench.leaderboard.published.types import PublishedGroup
from mmbench.leaderboard.records.comparable import comparable
from mmbench.leaderboard.rows import rows_of
from mmbench.leaderboard.statistics.overall import overall_of
from mmbench.leaderboard.statistics.ranking import mean_ranks, ranked_columns
from mmbench.leaderboard.verdict import verdict

# What statistics read of a run; see `statistics`.
STATISTICS = [
    "metric",
    "value",
    "unit",
    "images",
    "weights",
    "pretraining_seed",
    "transfer_seed",
    "labels",
    "interval_low",
    "interval_high",
    "path",
    "outcomes",
]


def make_board(
    frame: pd.DataFrame,
    baseline: str | None = None,
    *,
    title: str = "mmbench leaderboard",
    published: tuple[PublishedGroup, ...] = (),
) -> Board:
    """Turn a tidy frame of records (see `load_frame`) into a board.

    Rows are ordered by the mean of their ranks over the columns that they share; a row that lacks one of
    these stands below those that have all.

    Raises:
        UserError: no record of the baseline (near match named), or records that do not compare.
    """
    frame = comparable(frame)
    names = sorted(frame["row"].unique())
    if baseline is not None and baseline not in names:
        raise unknown_name("baseline", baseline, names)
    records = _primary(frame)
    columns = columns_of(records, frame.attrs.get("columns", ()))
    runs = by_cell(records, _statistics(records))
    measured = {name: frozenset(key for key in runs if name in runs[key]) for name in names}
    controls = frozenset(records.loc[records["control"], "row"].unique())
    ranked = ranked_columns(measured, controls)
    higher = {column.key: column.higher_is_better for column in columns}
    shared = {key: {name: runs[key][name] for name in ranked.rows} for key in ranked.columns}
    provenances, places = provenances_of(records)
    cells = cells_of(runs, columns, baseline, runs_of(records, places))
    rows = rows_of(records, measured, frozenset(runs), mean_ranks(shared, higher), baseline)
    ranking = Ranking(tuple(key for key in higher if key in ranked.columns), ranked.words)
    return Board(
        title=title,
        baseline=baseline,
        rows=rows,
        columns=columns,
        cells=cells,
        footnotes=footnotes(rows, columns, cells, baseline, frame, ranking),
        environment=environment(provenances, places),
        published=published,
        records=len(records),
        created=str(records["created"].max())[:10],
        ranking=ranking,
        overall=overall_of(shared, higher, controls),
        verdict=verdict(rows, columns, cells, baseline),
        secondary=secondary_of(frame, _statistics(frame), columns, baseline),
        provenances=provenances,
    )


def differences_of_pairs(frame: pd.DataFrame, board: Board) -> dict[str, Deltas]:
    """Return by the name of each row the differences of the others to it; see `differences_to_each`.

    Args:
        frame: that the board was made from.
    """
    records = _primary(comparable(frame))
    return differences_to_each(records, _statistics(records), board)


def _primary(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of primary values, in the order in which a board has their runs."""
    records = frame[frame["primary"]].sort_values(["row", *ORDER], kind="stable")
    records.attrs = {}  # pandas would copy them into every slice
    return records


def _statistics(frame: pd.DataFrame) -> list[str]:
    return [name for name in STATISTICS if name in frame]
