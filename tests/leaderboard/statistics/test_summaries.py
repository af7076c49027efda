"""Means, spreads and intervals against formulas written out with loops."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from mmbench.leaderboard.statistics.differences import difference_of
from mmbench.leaderboard.statistics.summaries import Interval, summarise


def runs(*groups: list[float]) -> pd.DataFrame:
    """Return runs of several pretrainings; each list holds the values of one."""
    return pd.DataFrame(
        [{"value": value, "weights": f"w{place}"} for place, group in enumerate(groups) for value in group]
    )


def mean(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


def variance(values: list[float]) -> float:
    return sum((value - mean(values)) ** 2 for value in values) / (len(values) - 1)


def t_quantile(degrees: float) -> float:
    """Return t with P(|T| < t) = 0.95 by bisection over the integrated density."""
    scale = math.exp(math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2)) / math.sqrt(degrees * math.pi)

    def density(x: float) -> float:
        return scale * (1 + x * x / degrees) ** (-(degrees + 1) / 2)

    low, high = 0.0, 1000.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if 2 * quad(density, 0, middle, limit=400)[0] < 0.95 else (low, middle)
    return low


def banerjee(a: list[float], b: list[float]) -> tuple[float, float]:
    half = math.sqrt(sum(variance(x) / len(x) * t_quantile(len(x) - 1) ** 2 for x in (a, b)))
    centre = mean(a) - mean(b)
    return centre - half, centre + half


def interval_of(ours: pd.DataFrame, theirs: pd.DataFrame) -> Interval | None:
    return difference_of(ours, theirs).interval


def test_a_single_run_has_no_spread() -> None:
    summary = summarise(runs([3.5]))
    assert (summary.mean, summary.std, summary.runs, summary.pretrainings) == (3.5, None, 1, 1)


def test_every_pretraining_weighs_alike_and_the_spread_is_over_runs() -> None:
    summary = summarise(runs([1.0, 2.0, 3.0], [10.0]))
    assert summary.mean == (2.0 + 10.0) / 2
    assert summary.std == pytest.approx(math.sqrt(variance([1.0, 2.0, 3.0, 10.0])))
    assert (summary.runs, summary.pretrainings) == (4, 2)


def test_the_interval_is_over_pretrainings_where_both_sides_have_two() -> None:
    ours, theirs = runs([60.0, 62.0, 61.0], [64.0, 66.0, 63.0]), runs([58.0], [57.0], [59.5])
    interval = interval_of(ours, theirs)
    assert interval is not None
    low, high = banerjee([61.0, 193 / 3], [58.0, 57.0, 59.5])
    assert interval.basis == "pretrainings"
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-6)


def test_with_one_pretraining_the_interval_is_over_runs_and_says_so() -> None:
    interval = interval_of(runs([60.0, 62.0, 61.5]), runs([58.0], [57.0]))
    assert interval is not None
    low, high = banerjee([60.0, 62.0, 61.5], [58.0, 57.0])
    assert interval.basis == "runs"
    assert (interval.low, interval.high) == pytest.approx((low, high), rel=1e-6)


def test_no_interval_without_two_units_or_without_variation() -> None:
    assert interval_of(runs([1.0]), runs([2.0, 3.0])) is None
    assert interval_of(runs([1.0], [1.0]), runs([2.0], [2.0])) is None
    one_sided = interval_of(runs([1.0], [1.0]), runs([2.0], [3.0]))
    assert one_sided is not None and one_sided.degrees == pytest.approx(1.0)


def test_runs_of_the_same_weights_do_not_narrow_the_interval() -> None:
    few = interval_of(runs([60.0], [62.0]), runs([50.0], [51.0]))
    many = interval_of(runs([60.0] * 9, [62.0] * 9), runs([50.0] * 9, [51.0] * 9))
    assert few is not None and many is not None
    assert (many.low, many.high) == pytest.approx((few.low, few.high))


values = st.lists(st.floats(0, 100), min_size=2, max_size=6)


@given(values, values)
def test_swapping_the_sides_mirrors_the_interval(a: list[float], b: list[float]) -> None:
    ours, theirs = runs(*([value] for value in a)), runs(*([value] for value in b))
    there, back = interval_of(ours, theirs), interval_of(theirs, ours)
    assert (there is None) == (back is None)
    if there is not None and back is not None:
        assert there.low <= np.mean(a) - np.mean(b) + 1e-9
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low), rel=1e-6, abs=1e-9)
