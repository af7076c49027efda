"""Ranks over the columns that rows share: which columns those are, and how sure the ranks are."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmbench.leaderboard.statistics.runs import Runs

Key = tuple[str, str, str, str]  # of a column: task, data set, protocol, metric


@dataclass(frozen=True)
class RankedColumns:
    """The columns of the overall rank.

    Attributes:
        columns: empty where no row has them all, so that there is no overall rank.
        rows: those that have all columns.
        words: which columns those are, and why, in a sentence.
    """

    columns: tuple[Key, ...]
    rows: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class RankSummary:
    """The rank of a row over several columns.

    Attributes:
        mean: of its ranks in the columns, among ranked rows; 1 is best.
        interval: 95% interval of it; None where the spread over pretrainings is unknown.
        p_best: probability that it has the lowest mean rank; None where the interval is.
    """

    mean: float
    interval: tuple[float, float] | None
    p_best: float | None


def ranked_columns(measured: Mapping[str, Set[Key]], controls: Set[str]) -> RankedColumns:
    """Return the columns that rows are ranked over, so that one stray record cannot turn the board.

    A column counts if more than half of the pretrained rows have it (of all rows, if there are only
    controls). A row is ranked if it has all columns that count.

    Args:
        measured: by the name of the row: its columns.
        controls: names of the rows that were not pretrained.
    """
    voters = [name for name in measured if name not in controls] or list(measured)
    every = sorted(set().union(*measured.values()))
    counts = {key: sum(key in measured[name] for name in voters) for key in every}
    columns = tuple(key for key in every if 2 * counts[key] > len(voters))
    rows = tuple(sorted(name for name, own in measured.items() if columns and own >= set(columns)))
    kind = "rows" if set(voters) == set(measured) else "pretrained rows"
    if not rows:
        return RankedColumns((), (), f"No overall rank: no row has all columns that most {kind} have.")
    if len(columns) == len(every):
        which = f"all {len(every)} columns" if len(every) > 1 else "the one column"
        words = f"Mean ranks are over {which}, among the {len(rows)} of {len(measured)} rows that have them."
        return RankedColumns(columns, rows, words)
    words = (
        f"Mean ranks are over the {len(columns)} of {len(every)} columns that more than half of the {kind} "
        f"have, among the {len(rows)} of {len(measured)} rows that have them all."
    )
    return RankedColumns(columns, rows, words)


def mean_ranks(
    cells: Mapping[Key, Mapping[str, pd.DataFrame]], higher: Mapping[Key, bool]
) -> dict[str, RankSummary]:
    """Return the mean rank of each row with its uncertainty, among these rows.

    Args:
        cells: by column and row: the runs; all columns have the same rows.
        higher: by column: whether higher is better.
    """
    keys = sorted(cells)
    names = sorted(cells[keys[0]]) if keys else []
    means = np.array([[Runs.of(cells[key][name]).mean for key in keys] for name in names])
    signs = np.array([1 if higher[key] else -1 for key in keys])
    ranks = ranks_of(means * signs).mean(axis=1) if names else []
    return {name: RankSummary(float(rank), None, None) for name, rank in zip(names, ranks, strict=True)}


def ranks_of(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks along the first dimension, 1 for the highest; equal scores share their mean rank."""
    from scipy.stats import rankdata

    ranks: NDArray[np.float64] = rankdata(-scores, axis=0)
    return ranks
