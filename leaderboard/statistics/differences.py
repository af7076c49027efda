"""The difference between two rows in one column: its interval, its p value, and how they were found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmbench.leaderboard.statistics.runs import Runs
from mmbench.leaderboard.statistics.summaries import CONFIDENCE, Basis, Interval

SINGLE = "none: a single run against several"
CONSTANT = "none: runs do not differ by more than rounding"


@dataclass(frozen=True)
class Difference:
    """Mean of one row minus the mean of another.

    Attributes:
        interval: 95%, for this difference alone.
        p: two-sided p value of this difference alone.
        method: how both were found; where they are None it starts with "none: " and says why.
        paired: whether runs of equal pretraining seeds and labels were compared, or equal images.
    """

    value: float
    interval: Interval | None
    p: float | None
    method: str
    paired: bool


def difference_of(ours: pd.DataFrame, theirs: pd.DataFrame) -> Difference:
    """Return mean(ours) - mean(theirs), its 95% interval and its p value.

    Args:
        ours, theirs: runs of two rows in one column; see `Runs`.
    """
    return difference_of_runs(Runs.of(ours), Runs.of(theirs))


def difference_of_runs(ours: Runs, theirs: Runs) -> Difference:
    """Return the difference of two rows; see `difference_of`."""
    value = ours.mean - theirs.mean
    if min(len(ours.units), len(theirs.units)) < 2:
        return Difference(value, None, None, SINGLE, False)
    if not ours.varies and not theirs.varies:
        return Difference(value, None, None, CONSTANT, False)
    several = min(len(ours.means), len(theirs.means)) > 1
    basis: Basis = "pretrainings" if several else "runs"
    interval = _welch(value, ours.units, theirs.units, basis)
    return Difference(value, interval, interval.p, f"Welch t over {basis}", False)


def _welch(value: float, ours: NDArray[np.float64], theirs: NDArray[np.float64], basis: Basis) -> Interval:
    """Return Welch's t interval of a difference of means."""
    from scipy.special import stdtr, stdtrit

    shares = [float(np.var(side, ddof=1)) / len(side) for side in (ours, theirs)]
    degrees = sum(shares) ** 2 / sum(
        share**2 / (len(side) - 1) for share, side in zip(shares, (ours, theirs), strict=True)
    )
    error = math.sqrt(sum(shares))
    half = float(stdtrit(degrees, (1 + CONFIDENCE) / 2)) * error
    p = 2 * float(stdtr(degrees, -abs(value) / error))
    return Interval(value - half, value + half, degrees, basis, p)


def holm(ps: Sequence[float]) -> list[float]:
    """Return p values adjusted by Holm's procedure, which bounds the family-wise error."""
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(ps, method="holm")[1]] if len(ps) else []
