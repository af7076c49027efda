"""Ranks over the columns that rows share: which columns those are, and how sure the ranks are."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmbench.leaderboard.statistics.differences import difference_of, holm
from mmbench.leaderboard.statistics.pooled import Key, Noise, SharedColumns
from mmbench.leaderboard.statistics.runs import Measured
from mmbench.leaderboard.statistics.summaries import SIGNIFICANCE

MOST_ROWS = 40  # of intervals: each pair is tested in each column
DRAWS = 2000
DRAWN_AT_ONCE = 2_000_000  # numbers in memory: 16 MB


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
        interval: 95% interval of it, for this row alone; None where none of the row's differences can be
            tested, and for more than `MOST_ROWS` rows.
        p_best: share of draws in which it has the lowest mean rank; None where the spread is unknown.
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
    without = (
        f" Of more than {MOST_ROWS} ranked rows the ranks have no intervals." if len(rows) > MOST_ROWS else ""
    )
    if len(columns) == len(every):
        which = f"all {len(every)} columns" if len(every) > 1 else "the one column"
        words = f"Mean ranks are over {which}, among the {len(rows)} of {len(measured)} rows that have them."
        return RankedColumns(columns, rows, words + without)
    words = (
        f"Mean ranks are over the {len(columns)} of {len(every)} columns that more than half of the {kind} "
        f"have, among the {len(rows)} of {len(measured)} rows that have them all."
    )
    return RankedColumns(columns, rows, words + without)


def mean_ranks(
    cells: Mapping[Key, Mapping[str, Measured]], higher: Mapping[Key, bool]
) -> dict[str, RankSummary]:
    """Return the mean rank of each row with its uncertainty, among these rows.

    The intervals are those of `_intervals`. For p_best the means of all rows are drawn anew around those
    measured, with the pooled spread over pretrainings (see `SharedColumns.noise`), in which columns of one
    pretraining vary together: the share of draws in which the row has the lowest mean rank. Rows that share
    it share the draw. In a column without any spread the ranks of all draws are those measured.

    Args:
        cells: by column and row: the runs; all columns have the same rows.
        higher: by column: whether higher is better.
    """
    shared = SharedColumns.of(cells, higher)
    if not shared.names:
        return {}
    means = ranks_of(shared.scores).mean(axis=1).tolist()
    best: list[float | None] = [None] * len(means)
    if (noise := shared.noise) is not None and len(means) > 1:
        drawn = _drawn_mean_ranks(shared.scores, noise)
        first = np.isclose(drawn, drawn.min(axis=1, keepdims=True), rtol=0, atol=1e-6)
        best = (first / first.sum(axis=1, keepdims=True)).mean(axis=0).tolist()
    intervals = _intervals(shared) if len(means) <= MOST_ROWS else [None] * len(means)
    return {
        name: RankSummary(*found) for name, *found in zip(shared.names, means, intervals, best, strict=True)
    }


def _intervals(shared: SharedColumns) -> list[tuple[float, float] | None]:
    """Return by row the 95% interval of its mean rank; None where no difference of the row can be tested.

    A row's differences to all others in all columns are tested as everywhere on the board, their p values
    adjusted by Holm over all of them. In a column its rank is at least 1 + the number of rows that are better
    beyond chance, and at most the number of rows less those that are worse. The means of both ends over the
    columns bound the mean rank: they fail only where one of the row's findings is false, which has a
    probability of 5% at most, however close the rows are.

    Source: Mogstad, Romano, Shaikh, Wilhelm, Review of Economic Studies 91, 2024.
    """
    rows, columns = shared.scores.shape
    p, sign = np.full((2, rows, rows, columns), np.nan)
    for one, other in itertools.combinations(range(rows), 2):
        for column in range(columns):
            found = difference_of(shared.runs[one][column], shared.runs[other][column])
            if found.p is not None:
                p[one, other, column] = p[other, one, column] = found.p
                sign[one, other, column] = np.sign(found.value) * shared.signs[column]
                sign[other, one, column] = -sign[one, other, column]
    intervals: list[tuple[float, float] | None] = []
    for row in range(rows):
        tested = np.isfinite(p[row])
        if not tested.any():
            intervals.append(None)
            continue
        sure = np.array(holm(p[row][tested].tolist())) < SIGNIFICANCE
        sides = sign[row][tested][sure]
        better, worse = int((sides < 0).sum()), int((sides > 0).sum())
        intervals.append((1 + better / columns, rows - worse / columns))
    return intervals


def _drawn_mean_ranks(scores: NDArray[np.float64], noise: Noise) -> NDArray[np.float64]:
    """Return mean ranks (DRAWS, rows) of means that are drawn around `scores` (rows, columns)."""
    generator = np.random.default_rng(0)
    rows, columns = scores.shape
    values, vectors = np.linalg.eigh(noise.covariance)
    fixed = np.diagonal(noise.covariance) == 0
    measured = ranks_of(scores)[:, fixed]
    root = vectors * np.sqrt(np.clip(values, 0, None))
    scale = np.ones((DRAWS, 1, 1))
    if np.isfinite(noise.degrees):
        scale = np.sqrt(noise.degrees / generator.chisquare(noise.degrees, (DRAWS, 1, 1)))
    sums, places = [], np.arange(1.0, rows + 1).reshape(1, -1, 1)
    for part in np.array_split(scale, max(1, DRAWS * rows * columns // DRAWN_AT_ONCE)):
        normal = generator.standard_normal((len(part), rows, columns))
        drawn = scores + part * (normal @ root.T) / np.sqrt(noise.counts)
        # Ranks without ties, several times faster than rankdata; where nothing varies, rows may tie.
        ranks = np.empty(drawn.shape)
        np.put_along_axis(ranks, np.argsort(-drawn, axis=1, kind="stable"), places, axis=1)
        ranks[:, :, fixed] = measured
        sums.append(ranks.mean(axis=2))
    return np.concatenate(sums)


def ranks_of(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks along the first dimension, 1 for the highest; equal scores share their mean rank.

    Args:
        scores: in which those that differ by rounding alone are equal; see `levelled`.
    """
    ranks: NDArray[np.float64] = pd.DataFrame(scores).rank(ascending=False).to_numpy()
    return ranks.reshape(scores.shape)
