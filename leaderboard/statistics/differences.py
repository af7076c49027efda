"""The difference between two rows in one column: its interval, its p value, and how they were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbench.leaderboard.statistics.images import compare_images
from mmbench.leaderboard.statistics.rounding import rounding
from mmbench.leaderboard.statistics.runs import Measured, Runs
from mmbench.leaderboard.statistics.spread import (
    Spread,
    compare,
    crossed_spread,
    spread_of,
    t_half_width,
    t_p_value,
    unit_spread,
)
from mmbench.leaderboard.statistics.summaries import Basis, Interval

SINGLE = "none: a single run against several"
CONSTANT = "none: runs do not differ by more than rounding"
LABELS = "none: the rows saw different labels, and each of them only one draw"


@dataclass(frozen=True)
class Difference:
    """Mean of one row minus the mean of another.

    Attributes:
        value: exactly 0 where the means differ by floating-point rounding alone.
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


def difference_of(ours: Measured, theirs: Measured) -> Difference:
    """Return mean(ours) - mean(theirs), its 95% interval and its p value.

    Over pretrainings where both have two or more, else over the runs of a single pretraining; over images
    where both have a single run. Pretrainings are paired by their seed where each pair saw the same labels
    and different pairs saw different ones. Where all pretrainings saw the same labels, these cancel.

    Args:
        ours, theirs: runs of two rows in one column; see `Runs`.
    """
    return _difference(Runs.of(ours), Runs.of(theirs))


def _difference(ours: Runs, theirs: Runs) -> Difference:
    value = _settled(ours.mean - theirs.mean, ours.mean, theirs.mean)
    if len(ours.values) == len(theirs.values) == 1:
        on_images = compare_images(ours, theirs, value)
        p = None if on_images.interval is None else on_images.interval.p
        return Difference(value, on_images.interval, p, on_images.method, on_images.interval is not None)
    if min(len(ours.units), len(theirs.units)) < 2:
        return Difference(value, None, None, SINGLE, False)
    if (pairs := _pairs(ours, theirs)) is not None:
        return _paired(ours, *pairs)
    if not ours.varies and not theirs.varies:
        return Difference(value, None, None, CONSTANT, False)
    spreads = _spreads(ours, theirs)
    if spreads is None:
        return Difference(value, None, None, LABELS, False)
    found = compare(value, *spreads)
    basis = _basis(ours, theirs)
    interval = Interval(value - found.half, value + found.half, found.degrees, basis, found.p)
    return Difference(value, interval, found.p, f"{found.method} over {basis}", False)


def _settled(value: float, *means: float) -> float:
    """Return the difference of two means, 0 where it is rounding alone."""
    return value if abs(value) > rounding(*means) else 0.0


def holm(ps: Sequence[float]) -> list[float]:
    """Return p values adjusted by Holm's procedure, which bounds the family-wise error.

    The numbers are those of `statsmodels.stats.multitest.multipletests`, which takes a second to load and
    searches the whole memory for garbage at each call.

    Source: Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    order = np.argsort(ps)
    raised = np.asarray(ps, dtype=np.float64)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty_like(raised)
    adjusted[order] = np.minimum(np.maximum.accumulate(raised), 1)
    found: list[float] = adjusted.tolist()
    return found


def _basis(ours: Runs, theirs: Runs) -> Basis:
    return "pretrainings" if min(len(ours.means), len(theirs.means)) > 1 else "runs"


def _spreads(ours: Runs, theirs: Runs) -> tuple[Spread, Spread] | None:
    """Return the spreads of both means; None where the draws of labels add one that cannot be known.

    Draws that all pretrainings of both rows saw cancel. Draws of one row that all of its pretrainings saw,
    and the other row did not, add to its spread.
    """
    spreads = []
    same = bool(ours.draws) and bool(theirs.draws) and set(ours.draws) == set(theirs.draws)
    for side in (ours, theirs):
        shared = len(side.means) > 1 and len(set(side.draws)) == 1
        if same or not shared:
            spreads.append(unit_spread(side))
        elif side.crossed is None:
            return None
        else:
            spreads.append(crossed_spread(side.crossed))
    return spreads[0], spreads[1]


def _pairs(ours: Runs, theirs: Runs) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the values of both rows in an order in which they pair; None where they do not.

    Pretrainings pair by their seed. Runs of one pretraining each pair by the draw of labels.
    """
    if not ours.draws or not theirs.draws or len(ours.units) != len(theirs.units):
        return None
    if len(ours.means) == len(theirs.means) == 1:
        keys = [side.draws[0] for side in (ours, theirs)]
        if keys[0] != keys[1] or len(set(keys[0])) < len(keys[0]):
            return None
        orders = [np.argsort(side.facts["labels"].astype(str)) for side in (ours, theirs)]
        return ours.values[orders[0]], theirs.values[orders[1]]
    draws = [dict(zip(side.seeds, side.draws, strict=False)) for side in (ours, theirs)]
    if not draws[0] or draws[0] != draws[1] or len(set(ours.draws)) == 1:
        return None
    seeds = [dict(zip(side.seeds, side.means, strict=True)) for side in (ours, theirs)]
    ordered = [np.array([side[seed] for seed in sorted(side)]) for side in seeds]
    return ordered[0], ordered[1]


def _paired(ours: Runs, first: NDArray[np.float64], second: NDArray[np.float64]) -> Difference:
    differences = first - second
    value = _settled(float(differences.mean()), float(first.mean()), float(second.mean()))
    if not ours.differ(differences):
        return Difference(value, None, None, CONSTANT, True)
    spread = spread_of(differences)
    half, p = t_half_width(spread), t_p_value(value, spread)
    basis: Basis = "pretrainings" if len(ours.means) > 1 else "runs"
    interval = Interval(value - half, value + half, spread.degrees, basis, p)
    return Difference(value, interval, p, f"paired t over {basis}", True)
