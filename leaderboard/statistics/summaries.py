"""The statistics of one cell.

A *run* is one record. A *pretraining* is one set of weights. Runs that share their weights are not
independent measurements of a method: they show the variation over label draws or seeds of the head, but not
over pretrainings. Hence means give every pretraining the same weight, and intervals are taken over
pretrainings wherever there are at least two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from mmbench.leaderboard.statistics.runs import Runs
from mmbench.leaderboard.statistics.spread import row_spread, t_half_width

CONFIDENCE = 0.95
INTERVAL = ("interval_low", "interval_high")  # columns of the frame of records
Basis = Literal["pretrainings", "runs", "images"]


@dataclass(frozen=True)
class Interval:
    """A 95% interval of a mean or of a difference of means.

    Attributes:
        degrees: degrees of freedom of the t distribution that it comes from; infinite where none takes part.
        basis: what is taken as independent. "pretrainings"; "runs" if a side has a single one, so that the
            interval speaks of these very weights and not of the method; "images" if it has a single
            run, so that it speaks of this very run.
        p: two-sided p value of zero; None where zero means nothing.
    """

    low: float
    high: float
    degrees: float
    basis: Basis
    p: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Summary:
    """Mean, spread and counts of the runs of one row in one column.

    Attributes:
        mean: mean over pretrainings of the mean over each one's runs (the mean over runs if balanced).
        std: sample standard deviation (ddof 1) over all runs; None for a single run.
        runs: number of records.
        pretrainings: number of different weights.
        interval: 95% interval of the mean; None where nothing varies or nothing is known.
    """

    mean: float
    std: float | None
    runs: int
    pretrainings: int
    interval: Interval | None = None


def summarise(runs: pd.DataFrame) -> Summary:
    """Return the summary of one row's runs in one column.

    The interval is Student's t interval over the means of pretrainings, from two on; over the runs of a
    single pretraining, from two on; and of a single run what its record states, which is over images. Where
    all pretrainings saw the same draws of labels, it allows for other draws; see `crossed_spread`.

    Args:
        runs: columns value and weights; interval_low, interval_high, images and unit where known.
    """
    found = Runs.of(runs)
    std = float(found.values.std(ddof=1)) if len(found.values) > 1 else None
    return Summary(found.mean, std, len(found.values), len(found.means), _interval(found))


def _interval(runs: Runs) -> Interval | None:
    if len(runs.units) == 1:
        return over_images(runs.frame)
    spread = row_spread(runs)
    if spread is None:
        return None
    half = t_half_width(spread)
    basis: Basis = "pretrainings" if len(runs.means) > 1 else "runs"
    return Interval(runs.mean - half, runs.mean + half, spread.degrees, basis)


def over_images(run: pd.DataFrame) -> Interval | None:
    """Return the interval that the record of a single run states."""
    if "interval_low" not in run:
        return None
    low, high = (float(run[name].to_numpy(np.float64, na_value=np.nan)[0]) for name in INTERVAL)
    if math.isnan(low):
        return None
    return Interval(low, high, math.inf, "images")


def welch_interval(ours: pd.DataFrame, theirs: pd.DataFrame) -> Interval | None:
    """Return the interval of mean(ours) - mean(theirs), centred on the difference of the cells' means.

    None if a side has fewer than two units, or if neither varies at all (a zero-width interval would claim
    certainty that two or three equal numbers do not give).
    """
    from scipy import stats

    units = Runs.of(ours).means, Runs.of(theirs).means
    centre = float(np.mean(units[0]) - np.mean(units[1]))
    basis: Literal["pretrainings", "runs"] = "pretrainings"
    if min(len(side) for side in units) < 2:
        units, basis = (ours["value"].to_numpy(), theirs["value"].to_numpy()), "runs"
    if min(len(side) for side in units) < 2 or sum(np.var(side, ddof=1) ** 2 for side in units) == 0:
        return None
    shares = [float(np.var(side, ddof=1)) / len(side) for side in units]
    degrees = sum(shares) ** 2 / sum(
        share**2 / (len(side) - 1) for share, side in zip(shares, units, strict=True)
    )
    error = math.sqrt(sum(shares))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees)) * error
    p = 2 * float(stats.t.sf(abs(centre) / error, degrees))
    return Interval(centre - half, centre + half, degrees, basis, p)
