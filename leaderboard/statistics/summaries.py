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

import pandas as pd

from mmbench.leaderboard.statistics.runs import Measured, Runs
from mmbench.leaderboard.statistics.spread import row_spread, t_half_width

CONFIDENCE = 0.95
SIGNIFICANCE = 0.05  # of p values, adjusted ones where there are several
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


def summarise(runs: Measured) -> Summary:
    """Return the summary of one row's runs in one column.

    The interval is Student's t interval over the means of pretrainings, from two on; over the runs of a
    single pretraining, from two on; and of a single run what its record states, which is over images. Where
    all pretrainings saw the same draws of labels, it allows for other draws; see `crossed_spread`.

    Args:
        runs: columns value and weights; interval_low, interval_high, images and unit where known.
    """
    found = Runs.of(runs)
    std = None
    if len(found.values) > 1:
        alike = len(found.units) == len(found.values)
        std = math.sqrt(found.variance) if alike else float(found.values.std(ddof=1))
    return Summary(found.mean, std, len(found.values), len(found.means), _interval(found))


def _interval(runs: Runs) -> Interval | None:
    if len(runs.units) == 1:
        return over_images(runs)
    spread = row_spread(runs)
    if spread is None:
        return None
    half = t_half_width(spread)
    basis: Basis = "pretrainings" if len(runs.means) > 1 else "runs"
    return Interval(runs.mean - half, runs.mean + half, spread.degrees, basis)


def over_images(run: Runs) -> Interval | None:
    """Return the interval that the record of a single run states."""
    ends = [run.facts[name][0] for name in INTERVAL if name in run.facts]
    if not ends or pd.isna(ends[0]):
        return None
    return Interval(float(ends[0]), float(ends[1]), math.inf, "images")
