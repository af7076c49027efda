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
        assert found.iqm[f"r{row}"][1] < found.iqm[f"r{row}"][0] < found.iqm[f"r{row}"][2]
        expected = [sum(score >= threshold for score in scores) / 15 for threshold in found.thresholds]
        assert found.profiles[f"r{row}"] == pytest.approx(expected)
    assert found.critical_difference is None


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
