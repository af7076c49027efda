"""Differences of rows against scipy and statsmodels, and their coverage where the truth is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mmbench.leaderboard.statistics.differences import (
    CONSTANT,
    LABELS,
    SINGLE,
    difference_of,
    holm,
)
from mmbench.leaderboard.statistics.runs import Runs
from mmbench.leaderboard.statistics.spread import Spread, compare, crossed_spread

DRAWS = [["a", "b", "c"], ["d", "e", "f"], ["g", "h", "i"]]


def runs_of(
    *groups: Sequence[float], labels: Sequence[Sequence[str]] | None = None, **facts: object
) -> pd.DataFrame:
    """Return runs of several pretrainings; each group holds the values of one, and labels their draws."""
    rows = [
        {
            "value": value,
            "weights": f"w{place}",
            "pretraining_seed": place,
            "labels": None if labels is None else labels[place][run],
            **facts,
        }
        for place, group in enumerate(groups)
        for run, value in enumerate(group)
    ]
    return pd.DataFrame(rows)


def singles(*values: float, **facts: object) -> pd.DataFrame:
    return runs_of(*([value] for value in values), **facts)


def test_two_each_have_welchs_degrees_of_freedom() -> None:
    ours, theirs = [60.1, 62.3], [58.0, 57.2]
    found = difference_of(singles(*ours), singles(*theirs))
    shares = [stats.sem(side) ** 2 for side in (ours, theirs)]
    degrees = min(sum(shares) ** 2 / sum(share**2 / 3 for share in shares) - 2, 2)
    t = (np.mean(ours) - np.mean(theirs)) / math.sqrt(sum(shares))
    assert found.interval is not None and found.interval.basis == "pretrainings" and not found.paired
    assert found.interval.degrees == pytest.approx(degrees)
    assert found.p == pytest.approx(2 * stats.t.sf(t, degrees))
    half = stats.t.ppf(0.975, degrees) * math.sqrt(sum(shares))
    assert found.interval.high - found.value == pytest.approx(half)


def test_three_each_are_scipys_welch_test() -> None:
    ours, theirs = [60.1, 62.3, 61.7], [58.0, 57.2, 59.5]
    found = difference_of(singles(*ours), singles(*theirs))
    expected = stats.ttest_ind(ours, theirs, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert found.interval is not None and found.method == "Satterthwaite's t over pretrainings"
    assert (found.p, found.interval.low, found.interval.high) == pytest.approx((expected.pvalue, low, high))


def test_more_each_have_scipys_degrees_of_freedom_rounded_down() -> None:
    ours, theirs = [60.1, 62.3, 61.7, 63.0, 58.2], [58.0, 57.2, 59.5, 58.8, 57.9]
    found = difference_of(singles(*ours), singles(*theirs))
    expected = stats.ttest_ind(ours, theirs, equal_var=False)
    degrees = math.floor(expected.df)
    assert found.interval is not None and 4 < degrees < expected.df < 8
    assert (found.p, found.interval.degrees) == pytest.approx(
        (2 * stats.t.sf(expected.statistic, degrees), degrees)
    )
    alike = difference_of(singles(1.0, 2.0, 4.0, 7.0), singles(11.0, 12.0, 14.0, 17.0))
    assert alike.interval is not None and alike.interval.degrees == 6


def test_unequal_numbers_have_banerjees_quantiles() -> None:
    found = compare(3.0, Spread(0.5, 1), Spread(0.1, 9))
    squares = [stats.t.ppf(0.975, degrees) ** 2 for degrees in (1, 9)]
    assert found.half == pytest.approx(math.sqrt(0.5 * squares[0] + 0.1 * squares[1]))
    squares = [stats.t.isf(found.p / 2, degrees) ** 2 for degrees in (1, 9)]
    assert 0.5 * squares[0] + 0.1 * squares[1] == pytest.approx(3.0**2, rel=1e-6)
    assert compare(found.half, Spread(0.5, 1), Spread(0.1, 9)).p == pytest.approx(0.05)
    assert compare(0.0, Spread(0.5, 1), Spread(0.1, 9)).p == pytest.approx(1.0)
    assert compare(1e9, Spread(0.5, 1), Spread(0.1, 9)).p < 1e-8


def test_equal_seeds_and_labels_are_paired_as_by_scipy() -> None:
    ours = runs_of([60.0, 61.0, 62.0], [55.0, 56.0, 55.5], [65.0, 66.0, 64.0], labels=DRAWS)
    theirs = runs_of([58.0, 60.0, 59.0], [52.0, 54.5, 53.0], [64.0, 64.5, 63.5], labels=DRAWS)
    expected = stats.ttest_rel([61.0, 55.5, 65.0], [59.0, 159.5 / 3, 64.0])
    low, high = expected.confidence_interval(0.95)
    for other in (theirs, theirs.iloc[::-1]):
        found = difference_of(ours, other)
        assert found.paired and found.interval is not None and found.method == "paired t over pretrainings"
        assert (found.p, found.interval.low, found.interval.high) == pytest.approx(
            (expected.pvalue, low, high)
        )


@pytest.mark.parametrize("labels", [None, [["a", "b", "c"]] * 3])
def test_labels_that_all_saw_cancel_without_pairs(labels: list[list[str]] | None) -> None:
    values = [60.0, 61.0, 62.0], [55.0, 56.0, 55.5], [65.0, 66.0, 64.0]
    found = difference_of(runs_of(*values, labels=labels), runs_of(*reversed(values), labels=labels))
    assert not found.paired and found.p == pytest.approx(1.0)
    bare = difference_of(runs_of(*values), runs_of(*reversed(values)))
    assert found.interval == bare.interval


def test_own_draws_that_all_pretrainings_of_a_row_saw_add_their_spread() -> None:
    values = [60.0, 64.0, 62.0], [55.0, 59.0, 55.5], [65.0, 69.5, 64.0]
    ours = runs_of(*values, labels=[["a", "b", "c"]] * 3)
    theirs = runs_of(*values, labels=[["d", "e", "f"]] * 3)
    found = difference_of(ours, theirs)
    spread = crossed_spread(np.array(values))
    assert found.interval is not None
    assert found.interval.high == pytest.approx(compare(0.0, spread, spread).half)
    assert spread.variance > np.var([np.mean(group) for group in values], ddof=1) / 3
    one = difference_of(
        runs_of([60.0], [61.0], labels=[["a"]] * 2), runs_of([50.0], [52.0], labels=[["b"]] * 2)
    )
    assert (one.interval, one.p, one.method) == (None, None, LABELS)


def test_crossed_effects_are_statsmodels_mean_squares() -> None:
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    table = np.random.default_rng(0).normal((0.0, 5.0, 1.0), size=(4, 3))
    frame = pd.DataFrame([{"y": table[i, j], "i": i, "j": j} for i in range(4) for j in range(3)])
    squares = anova_lm(ols("y ~ C(i) + C(j)", frame).fit())["mean_sq"]
    expected = squares["C(i)"] + squares["C(j)"] - squares["Residual"]
    found = crossed_spread(table)
    assert found.variance == pytest.approx(expected / 12)
    terms = squares["C(i)"] ** 2 / 3 + squares["C(j)"] ** 2 / 2 + squares["Residual"] ** 2 / 6
    assert found.degrees == pytest.approx(max(expected**2 / terms, 2))


def test_runs_of_single_checkpoints_are_compared_over_runs_and_paired_by_labels() -> None:
    ours, theirs = runs_of([60.0, 62.5, 61.0], labels=DRAWS), runs_of([58.0, 59.0, 58.5], labels=DRAWS)
    found = difference_of(ours, theirs.sample(frac=1, random_state=1))
    expected = stats.ttest_rel([60.0, 62.5, 61.0], [58.0, 59.0, 58.5])
    assert found.paired and found.interval is not None and found.interval.basis == "runs"
    assert found.p == pytest.approx(expected.pvalue)
    several = difference_of(runs_of([60.0, 62.5, 61.0]), runs_of([50.0, 58.0], [60.0, 55.0]))
    assert several.interval is not None and several.interval.basis == "runs"
    spreads = [Spread(stats.sem(side) ** 2, len(side) - 1) for side in ([60.0, 62.5, 61.0], [54.0, 57.5])]
    assert several.p == pytest.approx(compare(several.value, *spreads).p)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([60.0, 60.0], [50.0, 50.0]),
        ([60.0, np.nextafter(60.0, 61)], [50.0, 50.0]),
        ([60.0, 60.0], [50.0, np.nextafter(50.0, 51)]),
        ([60.0, 60.05], [50.0, 50.05]),  # one of 2,000 images
    ],
)
def test_rounding_never_makes_an_interval(ours: list[float], theirs: list[float]) -> None:
    found = difference_of(singles(*ours, images=2000), singles(*theirs, images=2000))
    assert (found.interval, found.p, found.method) == (None, None, CONSTANT)
    paired = [runs_of(*([v] for v in side), labels=[["a"], ["b"]], images=2000) for side in (ours, theirs)]
    assert difference_of(*paired).interval is None


def test_equal_differences_of_pairs_make_no_interval() -> None:
    labels = [["a"], ["b"]]
    ours, theirs = runs_of([60.0], [70.0], labels=labels), runs_of([50.0], [60.0], labels=labels)
    found = difference_of(ours, theirs)
    assert found.interval is None and found.method == CONSTANT and found.value == 10


def test_values_that_are_no_shares_of_images_have_no_steps() -> None:
    found = difference_of(singles(38.13, 38.42, images=150), singles(33.97, 34.01, images=150))
    assert found.interval is not None


def test_one_run_against_several_has_no_interval() -> None:
    found = difference_of(singles(60.0), singles(50.0, 51.0))
    assert (found.interval, found.p, found.method) == (None, None, SINGLE)


def test_runs_of_the_same_weights_do_not_narrow_the_interval() -> None:
    few = difference_of(runs_of([60.0], [62.0]), runs_of([50.0], [51.0]))
    many = difference_of(runs_of([60.0] * 9, [62.0] * 9), runs_of([50.0] * 9, [51.0] * 9))
    assert few.interval == many.interval


VALUES = st.lists(st.floats(0, 100), min_size=2, max_size=6)


@given(VALUES, VALUES)
def test_swapping_the_sides_mirrors_the_difference(a: list[float], b: list[float]) -> None:
    there, back = difference_of(singles(*a), singles(*b)), difference_of(singles(*b), singles(*a))
    assert there.method == back.method and there.value == -back.value
    if there.interval is not None and back.interval is not None:
        assert there.p == pytest.approx(back.p)
        assert (there.interval.low, there.interval.high) == pytest.approx(
            (-back.interval.high, -back.interval.low), rel=1e-6, abs=1e-9
        )


def test_holm_against_its_definition() -> None:
    ps = [0.04, 0.001, 0.03, 0.2]
    expected, largest = {}, 0.0
    for place, p in enumerate(sorted(ps)):
        largest = max(largest, min(1.0, p * (len(ps) - place)))
        expected[p] = largest
    assert holm(ps) == pytest.approx([expected[p] for p in ps])
    assert holm([]) == []


def test_holm_is_that_of_statsmodels_to_the_last_digit() -> None:
    from statsmodels.stats.multitest import multipletests

    generator = np.random.default_rng(0)
    for number in (1, 2, 7, 60):
        ps = (generator.random(number) ** 4).tolist()
        ps += ps[:3]  # equal ones
        assert holm(ps) == multipletests(ps, method="holm")[1].tolist()


def simulated(
    generator: np.random.Generator, shape: tuple[int, int], drawn: np.ndarray, labels: bool
) -> Runs:
    """Return runs (pretrainings, draws) around 50, with spread 1 over pretrainings and 0.5 over runs."""
    n, k = shape
    values = 50 + generator.normal(size=(n, 1)) + drawn[:n, :k] + generator.normal(0, 0.5, shape)
    draws = [[f"{seed}-{draw}" for draw in range(k)] for seed in range(n)]
    return Runs.of(runs_of(*values.tolist(), labels=draws if labels else None))


@pytest.mark.parametrize(("numbers", "draws"), [((2, 2), 1), ((3, 3), 3), ((5, 5), 1), ((3, 5), 6)])
@pytest.mark.parametrize("shared", [False, True])
def test_intervals_hold_the_truth(numbers: tuple[int, int], draws: int, shared: bool) -> None:
    """The share of 200 intervals, within three standard errors of 95%; more often of unequal numbers."""
    generator, held = np.random.default_rng(0), 0
    for _ in range(200):
        drawn = generator.normal(size=(10, 6)) * shared
        sides = [simulated(generator, (n, draws), drawn, shared) for n in numbers]
        interval = difference_of(*sides).interval
        assert interval is not None
        held += interval.low < 0 < interval.high
    assert 0.90 < held / 200 < (0.996 if numbers[0] == numbers[1] else 1.001)


@pytest.mark.parametrize("numbers", [(2, 2), (3, 3), (5, 5), (10, 10), (3, 2), (10, 3)])
def test_false_differences_after_holms_correction_are_rare(numbers: tuple[int, int]) -> None:
    """The share of boards without any true difference that have one after Holm's correction.

    4,000 boards of 24 differences to a baseline that varies a third as much as the other rows. By Welch's t
    it is 4.3, 7.6, 8.2 and 6.8% of equal numbers, and by Satterthwaite's 9 and 30% of unequal ones. A p value
    is below the level of 0.05 / 24 where the difference is beyond the half-width at that level, which falls
    with the ratio of the two variances alone: it is interpolated between 51 ratios.
    """
    generator = np.random.default_rng(list(numbers))
    spreads, degrees = (1.0, 3.0), tuple(n - 1 for n in numbers)
    sides = []
    for spread, n, freedom, rows in zip(spreads, numbers, degrees, (1, 4), strict=True):
        means = generator.normal(0, spread / math.sqrt(n), (4000, rows, 6))
        variances = spread**2 / n * generator.chisquare(freedom, means.shape) / freedom
        sides.append((means, variances))
    (theirs, their_variance), (ours, our_variance) = sides
    total = their_variance + our_variance
    shares = np.linspace(0, 1, 51)
    critical = [critical_t(share, degrees, 0.05 / 24) for share in shares]
    t = np.abs(ours - theirs) / np.sqrt(total)
    found = (t > np.interp(their_variance / total, shares, critical)).any(axis=(1, 2)).mean()
    assert found < 0.07


def critical_t(share: float, degrees: tuple[int, int], level: float) -> float:
    """Return the |t| whose p value is `level`, by bisection, of variances (share, 1 - share)."""
    low, high = 1.0, 1e5
    for _ in range(25):
        middle = math.sqrt(low * high)
        p = compare(middle, Spread(share, degrees[0]), Spread(1 - share, degrees[1])).p
        low, high = (middle, high) if p > level else (low, middle)
    return low
