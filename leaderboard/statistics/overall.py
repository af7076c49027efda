"""How rows compare over several columns together."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbench.leaderboard.statistics.pooled import Key, SharedColumns
from mmbench.leaderboard.statistics.rounding import ROUNDING, levelled
from mmbench.leaderboard.statistics.runs import Measured
from mmbench.leaderboard.statistics.spread import Spread, t_half_width

TRIMMED = 0.25  # of the scores at each end, so that the middle half is left
THRESHOLDS = tuple(place / 20 for place in range(21))
FEWEST_COLUMNS = 6  # of critical differences
MOST_ROWS = 40  # of critical differences: more cannot be drawn, and each pair takes milliseconds

InterquartileMean = tuple[float, float | None, float | None]


@dataclass(frozen=True)
class Overall:
    """How ranked rows compare over all columns of the ranking.

    Scores are normalised per column: 0 is the mean of its lowest control (of its lowest row, if no control is
    ranked), 1 the mean of its best row. The score of a pretraining in a column is the mean over its runs.

    Attributes:
        iqm: by row name: interquartile mean of the normalised scores (Agarwal et al. 2021, arXiv 2108.13264)
            and the ends of its 95% interval, None where the row's own spread is unknown; empty where that of
            all rows is.
        profiles: by row name: share of the scores, a column and pretraining each, that is at least each of
            `thresholds`.
        critical_difference: p values of the pairs of ranked rows by Nemenyi's test; None below six columns
            or three rows, and above 40 rows.
        friedman: p value of Friedman's test that all rows are alike; None where critical_difference is.
    """

    iqm: dict[str, InterquartileMean]
    thresholds: tuple[float, ...]
    profiles: dict[str, tuple[float, ...]]
    critical_difference: dict[tuple[str, str], float] | None
    friedman: float | None = None


def overall_of(
    cells: Mapping[Key, Mapping[str, Measured]], higher: Mapping[Key, bool], controls: Set[str]
) -> Overall | None:
    """Return how ranked rows compare over all columns of the ranking; None where there is nothing to compare.

    Columns in which all rows have the same mean have no normalised scores.

    Args:
        cells: by column and row: the runs; all columns have the same rows.
        higher: by column: whether higher is better.
        controls: names of the rows that were not pretrained.
    """
    shared = SharedColumns.of(cells, higher)
    if len(shared.names) < 2:
        return None
    low, high = _ends(shared, controls)
    used = np.flatnonzero(high > low)
    if not len(used):
        return None
    iqm, profiles = {}, {}
    for place, name in enumerate(shared.names):
        scores = [
            (shared.signs[column] * shared.runs[place][column].means - low[column]) / (high - low)[column]
            for column in used
        ]
        values = np.concatenate(scores)
        profiles[name] = tuple((values[:, None] >= np.array(THRESHOLDS) - ROUNDING).mean(axis=0).tolist())
        if shared.noise is not None:
            iqm[name] = _interquartile_mean(scores, shared, place, (high - low)[used], used)
    p, pairs = _critical_difference(shared)
    return Overall(iqm, THRESHOLDS, profiles, pairs, p)


def _ends(shared: SharedColumns, controls: Set[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the scores (columns,) that become 0 and 1."""
    ranked_controls = [place for place, name in enumerate(shared.names) if name in controls]
    lowest = shared.scores[ranked_controls] if ranked_controls else shared.scores
    return lowest.min(axis=0), shared.scores.max(axis=0)


def _interquartile_mean(
    scores: list[NDArray[np.float64]],
    shared: SharedColumns,
    row: int,
    ranges: NDArray[np.float64],
    used: NDArray[np.int64],
) -> InterquartileMean:
    """Return the mean of the middle half of scores, a list per column, and its 95% t interval.

    If a column's mean moves by d, the interquartile mean moves by d times the column's share of the middle
    half, to which scores that are equal at its ends count alike. Hence its variance follows from the spread
    of the columns: the row's own, since rows may differ in theirs; over images where no row has two
    pretrainings.
    """
    values = np.concatenate(scores)
    cut = int(TRIMMED * len(values))
    ends = cut, len(values) - cut
    # As `scipy.stats.trim_mean`, to the last digit; scipy.stats takes a second to load.
    value = float(np.partition(values, (ends[0], ends[1] - 1))[slice(*ends)].mean())
    noise = shared.noise
    if noise is not None and noise.basis == "pretrainings":
        noise = shared.noise_of(row)
    if noise is None:
        return value, None, None
    columns = np.repeat(np.arange(len(scores)), [len(column) for column in scores])
    shares = np.bincount(columns, _middle(values, *ends)) / (ends[1] - ends[0])
    if noise.basis == "pretrainings" and not any(shared.runs[row][key].varies for key in used[shares > 0]):
        return value, None, None
    moved = shares / ranges / np.sqrt(noise.counts[row, used])
    variance = float(moved @ noise.covariance[np.ix_(used, used)] @ moved)
    half = t_half_width(Spread(variance, noise.degrees))
    return value, value - half, value + half


def _middle(values: NDArray[np.float64], first: int, end: int) -> NDArray[np.float64]:
    """Return how much of each value is among those at places `first` to `end` - 1 in their order: 1 or 0.

    Of equal ones, some of which are there, a fraction each.
    """
    _, group, sizes = np.unique(levelled(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(sizes)
    inside = np.clip(np.minimum(ends, end) - np.maximum(ends - sizes, first), 0, None)
    found: NDArray[np.float64] = (inside / sizes)[group]
    return found


def _critical_difference(
    shared: SharedColumns,
) -> tuple[float | None, dict[tuple[str, str], float] | None]:
    """Return Friedman's p value and the pairs' by Nemenyi (Demšar, JMLR 7, 2006); columns are the blocks."""
    if len(shared.keys) < FEWEST_COLUMNS or not 3 <= len(shared.names) <= MOST_ROWS:
        return None, None
    from scikit_posthocs import posthoc_nemenyi_friedman
    from scipy.stats import friedmanchisquare

    if (np.ptp(shared.scores, axis=0) == 0).all():
        return None, None
    table = posthoc_nemenyi_friedman(shared.scores.T).to_numpy()
    pairs = {
        (first, second): min(1.0, float(table[a, b]))
        for a, first in enumerate(shared.names)
        for b, second in enumerate(shared.names)
        if a < b
    }
    return float(friedmanchisquare(*shared.scores).pvalue), pairs
