"""The statistics of one cell and of the difference between two cells.

A *run* is one record. A *pretraining* is one set of weights. Runs that share their weights are not
independent measurements of a method: they show the variation over label draws or seeds of the head, but not
over pretrainings. Hence means give every pretraining the same weight, and the interval of a difference is
taken over pretrainings wherever both arms have at least two of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """Mean, spread and counts of the runs of one arm in one column.

    Attributes:
        mean: mean over pretrainings of the mean over each one's runs (the mean over runs if balanced).
        std: sample standard deviation (ddof 1) over all runs; None for a single run.
        runs: number of records.
        pretrainings: number of different weights.
        interval: 95% interval of the mean, over pretrainings; of one run of one pretraining over its images.
    """

    mean: float
    std: float | None
    runs: int
    pretrainings: int
    interval: Interval | None = None


@dataclass(frozen=True)
class Interval:
    """Welch's 95% interval of a difference of means.

    Attributes:
        basis: "pretrainings" if each unit is one pretraining; "runs" if an arm has a single one, so that the
            interval speaks of these very weights and not of the method.
        degrees: Welch-Satterthwaite degrees of freedom.
        p: two-sided p value of zero.
    """

    low: float
    high: float
    degrees: float
    basis: Literal["pretrainings", "runs", "images"]
    p: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def per_pretraining(runs: pd.DataFrame) -> pd.Series[float]:
    """Return the mean value of each set of weights; `runs` has the columns value and weights."""
    return runs.groupby("weights")["value"].mean()


def summarise(runs: pd.DataFrame) -> Summary:
    """Return the summary of one arm's runs (columns value and weights)."""
    means = per_pretraining(runs)
    std = float(runs["value"].std(ddof=1)) if len(runs) > 1 else None
    return Summary(float(means.mean()), std, len(runs), len(means))


def welch_interval(ours: pd.DataFrame, theirs: pd.DataFrame) -> Interval | None:
    """Return the interval of mean(ours) - mean(theirs), centred on the difference of the cells' means.

    None if a side has fewer than two units, or if neither varies at all (a zero-width interval would claim
    certainty that two or three equal numbers do not give).
    """
    from scipy import stats

    units = per_pretraining(ours).to_numpy(), per_pretraining(theirs).to_numpy()
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
