"""Ranks over the columns that rows share: which columns those are, and how sure the ranks are."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmbench.leaderboard.statistics.pooled import Key, Noise, SharedColumns
from mmbench.leaderboard.statistics.runs import Measured
from mmbench.leaderboard.statistics.spread import TAIL

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
        interval: 95% interval of it; None where the spread is unknown.
        p_best: probability that it has the lowest mean rank; None where the interval is.
        basis: whether both are over pretrainings or, where no row has two, over images.
    """

    mean: float
    interval: tuple[float, float] | None
    p_best: float | None
    basis: Literal["pretrainings", "images"] | None = None


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
    cells: Mapping[Key, Mapping[str, Measured]], higher: Mapping[Key, bool]
) -> dict[str, RankSummary]:
    """Return the mean rank of each row with its uncertainty, among these rows.

    Parametric resampling: the means of all rows are drawn anew around those measured, with the pooled spread
    over pretrainings (see `SharedColumns.noise`), in which columns of one pretraining vary together. The
    interval holds 95% of the mean ranks of the draws, and p_best is the share of draws in which the row has
    the lowest; rows that share it share the draw.

    Args:
        cells: by column and row: the runs; all columns have the same rows.
        higher: by column: whether higher is better.
    """
    shared = SharedColumns.of(cells, higher)
    if not shared.names:
        return {}
    means = ranks_of(shared.scores).mean(axis=1)
    if (noise := shared.noise) is None or len(shared.names) < 2:
        return {
            name: RankSummary(float(mean), None, None) for name, mean in zip(shared.names, means, strict=True)
        }
    drawn = _drawn_mean_ranks(shared.scores, noise)
    low, high = np.quantile(drawn, [TAIL, 1 - TAIL], axis=0)
    first = np.isclose(drawn, drawn.min(axis=1, keepdims=True), rtol=0, atol=1e-6)
    best = (first / first.sum(axis=1, keepdims=True)).mean(axis=0)
    return {
        name: RankSummary(
            float(means[place]),
            (min(float(low[place]), float(means[place])), max(float(high[place]), float(means[place]))),
            float(best[place]),
            noise.basis,
        )
        for place, name in enumerate(shared.names)
    }


def _drawn_mean_ranks(scores: NDArray[np.float64], noise: Noise) -> NDArray[np.float64]:
    """Return mean ranks (DRAWS, rows) of means that are drawn around `scores` (rows, columns)."""
    generator = np.random.default_rng(0)
    rows, columns = scores.shape
    values, vectors = np.linalg.eigh(noise.covariance)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    scale = np.ones((DRAWS, 1, 1))
    if np.isfinite(noise.degrees):
        scale = np.sqrt(noise.degrees / generator.chisquare(noise.degrees, (DRAWS, 1, 1)))
    sums, places = [], np.arange(1, rows + 1).reshape(1, -1, 1)
    for part in np.array_split(scale, max(1, DRAWS * rows * columns // DRAWN_AT_ONCE)):
        normal = generator.standard_normal((len(part), rows, columns))
        drawn = scores + part * (normal @ root.T) / np.sqrt(noise.counts)
        # Ranks without ties, several times faster than rankdata; only rows without any spread can tie.
        ranks = np.empty(drawn.shape, dtype=np.int64)
        np.put_along_axis(ranks, np.argsort(-drawn, axis=1, kind="stable"), places, axis=1)
        sums.append(ranks.mean(axis=2))
    return np.concatenate(sums)


def ranks_of(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ranks along the first dimension, 1 for the highest; equal scores share their mean rank."""
    ranks: NDArray[np.float64] = pd.DataFrame(scores).rank(ascending=False).to_numpy()
    return ranks.reshape(scores.shape)
