"""How uncertain a mean is: its variance with degrees of freedom, and t intervals that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbench.leaderboard.statistics.runs import Runs

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
ROUNDED_FROM = 3  # degrees of freedom each, from which those of a difference are rounded down
LEAST_P = 1e-12  # below, the quantiles of scipy.special.stdtrit are not reliable; smaller p values are this


@dataclass(frozen=True)
class Spread:
    """The estimated variance of a mean.

    Attributes:
        variance: of the mean, not of its units.
        degrees: degrees of freedom of the estimate.
    """

    variance: float
    degrees: float


def spread_of(units: NDArray[np.float64]) -> Spread:
    """Return the spread of the mean of independent units (n,), n at least 2."""
    return Spread(float(np.var(units, ddof=1)) / len(units), len(units) - 1)


def unit_spread(runs: Runs) -> Spread:
    """Return the spread of a row's mean over its units, of which there are two or more."""
    return Spread(runs.variance / len(runs.units), len(runs.units) - 1)


def crossed_spread(table: NDArray[np.float64]) -> Spread:
    """Return the spread of the mean of values (pretrainings, draws), over new pretrainings and new draws.

    The analysis of variance of two crossed random effects without replication: the variance of the mean is
    (MS of pretrainings + MS of draws - MS of the rest) / number of values, with Satterthwaite's degrees of
    freedom (Biometrics Bulletin 2, 1946). Where draws differ less than the rest, they add nothing.
    """
    n, k = table.shape
    rest = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    pretrainings = k * float(np.var(table.mean(axis=1), ddof=1))
    draws = n * float(np.var(table.mean(axis=0), ddof=1))
    error = float((rest**2).sum()) / ((n - 1) * (k - 1))
    if draws <= error:
        return Spread(pretrainings / (n * k), n - 1)
    variance = pretrainings + draws - error
    terms = pretrainings**2 / (n - 1) + draws**2 / (k - 1) + error**2 / ((n - 1) * (k - 1))
    return Spread(variance / (n * k), max(variance**2 / terms, min(n, k) - 1))


def row_spread(runs: Runs) -> Spread | None:
    """Return the spread of a row's mean; None for a single run, or where runs differ by rounding alone."""
    if len(runs.units) < 2 or not runs.varies:
        return None
    return unit_spread(runs) if runs.crossed is None else crossed_spread(runs.crossed)


def t_half_width(spread: Spread) -> float:
    """Return half the width of the 95% t interval."""
    from scipy.special import stdtrit

    return -float(stdtrit(spread.degrees, TAIL)) * math.sqrt(spread.variance)


def t_p_value(value: float, spread: Spread) -> float:
    """Return the two-sided p value of zero."""
    from scipy.special import stdtr

    return 2 * float(stdtr(spread.degrees, -abs(value) / math.sqrt(spread.variance)))


@dataclass(frozen=True)
class Comparison:
    """Half the width of the 95% interval of a difference of two means, its p value, and their names."""

    half: float
    p: float
    degrees: float
    method: str


def compare(value: float, ours: Spread, theirs: Spread) -> Comparison:
    """Compare two independent means with unequal variances.

    Chosen by simulations of coverage and of the family-wise error (see the documentation of the leaderboard).
    Equal degrees of freedom:

    - one each: Welch's (Biometrika 34, 1947), as Stata's `ttest, welch`, and never more than both together;
      Satterthwaite's are fewer, and their intervals hold the truth in 98%.
    - two: Satterthwaite's, as `scipy.stats.ttest_ind(equal_var=False)`. Welch's find false differences among
      small p values, which Holm's correction decides by.
    - more: Satterthwaite's rounded down, the textbooks' conservative choice, for the same reason.

    Unequal ones: Banerjee's weighted squares of quantiles (Sankhya 22, 1960), whose error is proven to be at
    most the level for any variances. Satterthwaite's t of few against many finds false differences where
    the few vary more.
    """
    if ours.degrees != theirs.degrees:
        return _banerjee(value, ours, theirs)
    variances, each = (ours.variance, theirs.variance), ours.degrees
    total, squares = sum(variances), sum(variance**2 for variance in variances)
    if each < 2:
        degrees, name = min(total**2 / squares * (each + 2) - 2, 2 * each), "Welch's t"
    else:
        degrees, name = total**2 / squares * each, "Satterthwaite's t"
    if each >= ROUNDED_FROM:
        degrees = max(math.floor(degrees * (1 + 1e-9)), each)
    found = Spread(total, degrees)
    return Comparison(t_half_width(found), t_p_value(value, found), degrees, name)


def _banerjee(value: float, ours: Spread, theirs: Spread) -> Comparison:
    """Compare by the mean of both sides' squared quantiles of t, each weighted by its variance."""
    from scipy.optimize import brentq
    from scipy.special import stdtrit

    total = ours.variance + theirs.variance

    def square(p: float) -> float:
        """Return what a p value as large as this has as its squared t."""
        return (
            sum(side.variance * float(stdtrit(side.degrees, p / 2)) ** 2 for side in (ours, theirs)) / total
        )

    squared_t, p = value**2 / total, LEAST_P
    if square(LEAST_P) > squared_t:
        p = math.exp(float(brentq(lambda x: square(math.exp(x)) - squared_t, math.log(LEAST_P), 0.0)))
    degrees = total**2 / sum(side.variance**2 / side.degrees for side in (ours, theirs))
    return Comparison(math.sqrt(square(2 * TAIL) * total), p, degrees, "Banerjee's t")
