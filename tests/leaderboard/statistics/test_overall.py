"""Interquartile means, profiles and critical differences against loops and formulas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmbench.leaderboard.statistics.overall import overall_of

Cells = dict[tuple[str, str, str, str], dict[str, pd.DataFrame]]


def cells(values: np.ndarray) -> Cells:
    """Return the runs of values (rows, pretrainings, columns)."""
    return {
        (f"c{column}", "data", "p/x@1", "top1"): {
            f"r{row}": pd.DataFrame(
                {"value": table[:, column], "weights": [f"w{row}-{place}" for place in range(len(table))]}
            )
            for row, table in enumerate(values)
        }
        for column in range(values.shape[2])
    }


def test_interquartile_means_and_profiles_against_loops() -> None:
    values = np.random.default_rng(0).normal(50, 5, (4, 3, 5)) - 20 * (np.arange(4) == 3)[:, None, None]
    found = overall_of(cells(values), dict.fromkeys(cells(values), True), {"r3"})
    assert found is not None
    means = values.mean(axis=1)
    for row in range(4):
        scores = sorted(
            (values[row, place, column] - means[3, column]) / (means[:, column].max() - means[3, column])
            for place in range(3)
            for column in range(5)
        )
        assert found.iqm[f"r{row}"][0] == pytest.approx(sum(scores[3:12]) / 9)
        _, low, high = found.iqm[f"r{row}"]
        assert low is not None and high is not None and low < found.iqm[f"r{row}"][0] < high
        expected = [sum(score >= threshold for score in scores) / 15 for threshold in found.thresholds]
        assert found.profiles[f"r{row}"] == pytest.approx(expected)
    assert found.critical_difference is None


def test_the_interval_of_an_interquartile_mean_is_that_of_a_weighted_mean_of_columns() -> None:
    """Two columns far apart, of four scores each: the middle half holds two of each."""
    values = np.random.default_rng(3).normal(0, 1, (3, 4, 2)) + np.array([50.0, 90.0])
    values[0] -= 40
    found = overall_of(cells(values), dict.fromkeys(cells(values), True), {"r0"})
    assert found is not None
    means = values.mean(axis=1)
    ranges = means.max(axis=0) - means[0]
    for row in (1, 2):
        value, low, high = found.iqm[f"r{row}"]
        scores = (values[row] - means[0]) / ranges
        middle = np.argsort(scores.ravel())[2:6] % 2
        weighted = scores @ np.bincount(middle, minlength=2) / 4
        half = stats.t.ppf(0.975, 3) * stats.sem(weighted)
        assert (low, high) == pytest.approx((value - half, value + half))


def test_scores_that_tie_at_an_end_of_the_middle_half_count_alike_in_any_order_of_columns() -> None:
    """Two columns with equal scores of the row: the order of their names changes no interval."""
    quiet, loud = np.array([50.0, 51.0, 52.0, 53.0]), np.array([50.0, 53.0, 51.0, 52.0])
    ends = [np.zeros((4, 2)), np.full((4, 2), 100.0)]
    third = np.array([[2.0, 3.0], [4.0, 60.0], [61.0, 67.0], [62.0, 63.0]])
    found = []
    for pair in ((quiet, loud), (loud, quiet)):
        own = np.stack(pair, axis=1)
        values = np.concatenate([np.stack([*ends, own]), np.stack([*ends, third])], axis=2)
        overall = overall_of(cells(values), dict.fromkeys(cells(values), True), set())
        assert overall is not None
        found.append(overall.iqm["r2"])
    assert found[0] == pytest.approx(found[1])


def test_intervals_of_interquartile_means_hold_the_truth_where_spreads_differ() -> None:
    """The truth is the interquartile mean of the true means, at the measured ends.

    With one spread for all rows the second one's interval holds it in 78%.
    """
    generator, held = np.random.default_rng(0), np.zeros(3)
    spread = np.array([1.0, 3.0, 1.0, 1.0])[:, None, None]
    for _ in range(120):
        truth = 50 + generator.normal(0, 2, (4, 1)) + generator.normal(0, 2, (4, 4))
        truth[3] -= 20
        values = truth[:, None] + spread * generator.normal(size=(4, 3, 4))
        found = overall_of(cells(values), dict.fromkeys(cells(values), True), {"r3"})
        assert found is not None
        means = values.mean(axis=1)
        scores = (truth - means[3]) / (means.max(axis=0) - means[3])
        for row in range(3):
            _, low, high = found.iqm[f"r{row}"]
            assert low is not None and high is not None
            held[row] += low < stats.trim_mean(scores[row], 0.25) < high
    assert (held / 120 > 0.86).all()


def test_what_varies_by_rounding_or_not_at_all_has_no_interval() -> None:
    values = np.random.default_rng(4).normal(50, 1, (3, 2, 3))
    values[1] = values[1, :1]
    found = overall_of(cells(values), dict.fromkeys(cells(values), True), set())
    assert found is not None and found.iqm["r1"][1:] == (None, None)
    assert None not in found.iqm["r0"]
    single = cells(values)
    for by_row in single.values():
        by_row["r2"] = by_row["r2"].iloc[:1]
    found = overall_of(single, dict.fromkeys(single, True), set())
    assert found is not None and found.iqm["r2"][1:] == (None, None)


def test_lower_is_better_turns_the_scores() -> None:
    values = np.random.default_rng(1).normal(50, 5, (3, 2, 2))
    there = overall_of(cells(values), dict.fromkeys(cells(values), True), set())
    back = overall_of(cells(-values), dict.fromkeys(cells(values), False), set())
    assert there == back


def test_critical_differences_are_nemenyis_from_six_columns_on() -> None:
    values = np.random.default_rng(2).normal(50, 2, (4, 2, 6)) + 2 * np.arange(4)[:, None, None]
    found = overall_of(cells(values), dict.fromkeys(cells(values), True), set())
    assert found is not None and found.critical_difference is not None
    ranks = np.mean([stats.rankdata(-column) for column in values.mean(axis=1).T], axis=0)
    for (first, second), p in found.critical_difference.items():
        difference = abs(ranks[int(first[1:])] - ranks[int(second[1:])])
        q = difference / np.sqrt(4 * 5 / (6 * 6)) * np.sqrt(2)
        assert p == pytest.approx(stats.studentized_range.sf(q, 4, np.inf), abs=1e-6)
    assert len(found.critical_difference) == 6
    chi = 12 * 6 / (4 * 5) * (sum(rank**2 for rank in ranks) - 4 * 25 / 4)
    assert found.friedman == pytest.approx(stats.chi2.sf(chi, 3))


def test_single_runs_have_profiles_and_no_interquartile_means() -> None:
    found = overall_of(
        cells(np.array([[[60.0]], [[50.0]]])), {next(iter(cells(np.zeros((2, 1, 1))))): True}, set()
    )
    assert found is not None and found.iqm == {} and found.profiles["r0"][-1] == 1.0


def test_nothing_to_compare() -> None:
    assert overall_of({}, {}, set()) is None
    one = cells(np.zeros((1, 2, 2)))
    assert overall_of(one, dict.fromkeys(one, True), set()) is None
    equal = cells(np.full((3, 2, 2), 5.0))
    assert overall_of(equal, dict.fromkeys(equal, True), set()) is None
