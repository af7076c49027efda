"""How uncertain a mean is: its variance with degrees of freedom, and t intervals that follow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbench.leaderboard.statistics.runs import Runs

CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2
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

    Chosen by coverage in simulations (see the documentation of the leaderboard):

    - equal degrees of freedom: Welch's (Biometrika 34, 1947), as Stata's `ttest, welch`, and never more than
      both together. Satterthwaite's are fewer, and with two pretrainings each hold the truth in 98%.
    - unequal: Satterthwaite's, as `scipy.stats.ttest_ind(equal_var=False)`.
    - one degree against three or more: Cochran's weighted quantiles (Biometrics 20, 1964), since
      Satterthwaite's intervals hold the truth in as little as 88%.
    """
    variances, degrees = (ours.variance, theirs.variance), (ours.degrees, theirs.degrees)
    total = sum(variances)
    terms = [variance**2 / freedom for variance, freedom in zip(variances, degrees, strict=True)]
    satterthwaite = total**2 / sum(terms)
    if min(degrees) < 2 and max(degrees) >= 3:
        return _cochran(value, ours, theirs, satterthwaite)
    if degrees[0] == degrees[1]:
        freedom = total**2 / sum(variance**2 / (degrees[0] + 2) for variance in variances) - 2
        found, name = Spread(total, min(freedom, sum(degrees))), "Welch's t"
    else:
        found, name = Spread(total, satterthwaite), "Satterthwaite's t"
    return Comparison(t_half_width(found), t_p_value(value, found), found.degrees, name)


def _cochran(value: float, ours: Spread, theirs: Spread, degrees: float) -> Comparison:
    """Compare by the mean of both sides' quantiles of t, each weighted by its variance."""
    from scipy.optimize import brentq
    from scipy.special import stdtrit

    total = ours.variance + theirs.variance

    def quantile(p: float) -> float:
        """Return what a p value as large as this has as its |t|."""
        return -sum(side.variance * float(stdtrit(side.degrees, p / 2)) for side in (ours, theirs)) / total

    t = abs(value) / math.sqrt(total)
    p = LEAST_P
    if quantile(LEAST_P) > t:
        p = math.exp(float(brentq(lambda x: quantile(math.exp(x)) - t, math.log(LEAST_P), 0.0)))
    return Comparison(quantile(2 * TAIL) * math.sqrt(total), p, degrees, "Cochran's t")
