"""Which columns ranks are over, and how sure ranks are, with known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmbench.leaderboard.statistics.ranking import mean_ranks, ranked_columns

Key = tuple[str, str, str, str]


def key(name: str) -> Key:
    return name, "data", f"{name}/x@1", "top1"


A, B, C = map(key, "abc")


def cells(values: np.ndarray, **facts: object) -> dict[Key, dict[str, pd.DataFrame]]:
    """Return the runs of values (rows, pretrainings, columns)."""
    rows, pretrainings, columns = values.shape
    return {
        key(f"c{column}"): {
            f"r{row}": pd.DataFrame(
                {
                    "value": values[row, :, column],
                    "weights": [f"w{row}-{place}" for place in range(pretrainings)],
                    **facts,
                }
            )
            for row in range(rows)
        }
        for column in range(columns)
    }


def higher(found: dict[Key, dict[str, pd.DataFrame]]) -> dict[Key, bool]:
    return dict.fromkeys(found, True)


def test_a_stray_record_does_not_change_the_columns_of_the_rank() -> None:
    measured = {"moco": {A, B}, "mscn": {A, B}, "erase": {A, B, C}, "pixels": {A}}
    found = ranked_columns(measured, {"pixels"})
    assert found.columns == (A, B) and found.rows == ("erase", "moco", "mscn")
    assert "2 of 3 columns" in found.words and "3 of 4 rows" in found.words


def test_a_column_of_half_of_the_rows_does_not_count_and_controls_do_not_vote() -> None:
    found = ranked_columns({"a": {A, B}, "b": {A}, "random": {B}, "pixels": {B}}, {"random", "pixels"})
    assert found.columns == (A,) and found.rows == ("a", "b")
    assert ranked_columns({"random": {A, B}, "pixels": {A}}, {"random", "pixels"}).columns == (A,)


def test_no_complete_row_means_no_rank() -> None:
    found = ranked_columns({"a": {A, B}, "b": {B, C}, "c": {A, C}}, set())
    assert found.columns == () and found.rows == () and found.words.startswith("No overall rank")
    assert ranked_columns({}, set()).rows == ()


def test_mean_ranks_against_a_loop() -> None:
    values = np.random.default_rng(0).normal(size=(4, 2, 3))
    found = mean_ranks(cells(values), higher(cells(values)))
    means = values.mean(axis=1)
    for row in range(4):
        ranks = [1 + sum(other > means[row, column] for other in means[:, column]) for column in range(3)]
        assert found[f"r{row}"].mean == pytest.approx(sum(ranks) / 3)
    lower = mean_ranks(cells(values), dict.fromkeys(cells(values), False))
    assert [lower[f"r{row}"].mean for row in range(4)] == pytest.approx(
        [5 - found[f"r{row}"].mean for row in range(4)]
    )


def test_the_probability_of_two_rows_is_that_of_a_t_distribution() -> None:
    values = np.array([[[60.0], [61.0], [63.0]], [[59.0], [60.5], [62.0]]])
    found = mean_ranks(cells(values), higher(cells(values)))
    pooled = values[..., 0].var(axis=1, ddof=1).mean()
    t = (values[0].mean() - values[1].mean()) / np.sqrt(2 * pooled / 3)
    assert found["r0"].p_best == pytest.approx(stats.t.cdf(t, 4), abs=0.03)
    assert found["r0"].p_best + found["r1"].p_best == pytest.approx(1.0)
    assert found["r0"].interval == (1.0, 2.0)


def test_columns_of_one_pretraining_vary_together() -> None:
    """If two columns are the same, two are no more evidence than one."""
    values = np.random.default_rng(1).normal(size=(3, 3, 1))
    once, twice = (cells(np.repeat(values, times, axis=2)) for times in (1, 2))
    for name, summary in mean_ranks(once, higher(once)).items():
        assert mean_ranks(twice, higher(twice))[name].p_best == pytest.approx(summary.p_best, abs=0.03)


def test_single_runs_have_draws_over_images_or_none() -> None:
    values = np.array([[[60.0]], [[50.0]]])
    none = mean_ranks(cells(values), higher(cells(values)))
    assert none["r0"].mean == 1 and none["r0"].interval is None and none["r0"].p_best is None
    over = cells(values, interval_low=45.0, interval_high=65.0)
    found = mean_ranks(over, higher(over))["r0"]
    assert found.interval is None
    assert found.p_best == pytest.approx(stats.norm.cdf(10 / (np.sqrt(2) * 20 / (2 * 1.96))), abs=0.03)


def test_equal_pretrainings_make_no_sure_rank() -> None:
    values = np.array([[[60.0], [60.0]], [[50.0], [50.0]]])
    assert mean_ranks(cells(values), higher(cells(values)))["r0"].interval is None


@pytest.mark.parametrize("turned", [False, True])
def test_rows_tied_in_a_column_without_spread_share_its_ranks_in_every_draw(turned: bool) -> None:
    """The names of rows decide nothing: two that are equal in everything have half of the draws each."""
    varied = np.array([[70.0, 71.0, 72.0], [72.0, 71.0, 70.0]])[:: -1 if turned else 1]
    values = np.stack([varied, np.full((2, 3), 100.0)], axis=2)
    found = mean_ranks(cells(values), higher(cells(values)))
    assert [found[name].mean for name in ("r0", "r1")] == [1.5, 1.5]
    assert found["r0"].p_best == pytest.approx(0.5, abs=0.04)


def test_columns_without_spread_do_not_turn_the_share_of_draws() -> None:
    """Four columns of 100% (or of a loss, all equal but for rounding) beside one leave that one's answer."""
    levels = np.array([[70.0, 71.0, 72.0], [71.0, 72.0, 73.0], [73.0, 74.0, 72.0]])[..., None]
    alone = mean_ranks(cells(levels), higher(cells(levels)))
    for level in (100.0, 70.1):  # the mean of three times 70.1 is not 70.1 in binary
        saturated = np.concatenate([levels, np.full((3, 3, 4), level)], axis=2)
        found = mean_ranks(cells(saturated), higher(cells(saturated)))
        for name, summary in found.items():
            assert summary.mean == pytest.approx((alone[name].mean + 4 * 2) / 5)
            assert summary.p_best == pytest.approx(alone[name].p_best, abs=0.04)


def test_a_row_that_is_sure_of_a_column_without_spread_leads_in_every_draw() -> None:
    levels = np.array([[70.0, 71.0], [70.0, 71.0]])[..., None]
    fixed = np.array([[[90.0], [90.0]], [[95.0], [95.0]]])
    values = np.concatenate([levels, fixed, fixed], axis=2)
    assert mean_ranks(cells(values), higher(cells(values)))["r1"].p_best == 1.0


def test_the_same_runs_give_the_same_summaries() -> None:
    values = cells(np.random.default_rng(2).normal(size=(5, 2, 4)))
    assert mean_ranks(values, higher(values)) == mean_ranks(dict(reversed(values.items())), higher(values))
    assert mean_ranks({}, {}) == {}


def test_intervals_are_counts_of_what_holm_leaves_of_scipys_tests() -> None:
    from statsmodels.stats.multitest import multipletests

    levels = np.array([[70.0, 60.0], [69.0, 61.0], [40.0, 60.5], [70.3, 20.0]])
    values = levels[:, None] + np.random.default_rng(4).normal(0, 0.3, (4, 3, 2))
    found = mean_ranks(cells(values), higher(cells(values)))
    for row in range(4):
        others = [(other, column) for other in range(4) if other != row for column in range(2)]
        tests = [
            stats.ttest_ind(values[row, :, column], values[other, :, column], equal_var=False)
            for other, column in others
        ]
        sure = multipletests([test.pvalue for test in tests], method="holm")[0]
        worse, better = (
            sum(keep and sign * test.statistic > 0 for keep, test in zip(sure, tests, strict=True))
            for sign in (1, -1)
        )
        assert found[f"r{row}"].interval == pytest.approx((1 + better / 2, 4 - worse / 2))
    assert found["r2"].interval != (1.0, 4.0)
    lower = mean_ranks(cells(values), dict.fromkeys(cells(values), False))
    for name, summary in found.items():
        assert summary.interval is not None
        mirrored = 5 - summary.interval[1], 5 - summary.interval[0]
        assert lower[name].interval == pytest.approx(mirrored)


def test_a_single_run_among_several_has_no_interval_and_the_others_allow_for_it() -> None:
    values = np.array([[60.0, 60.5, 60.2], [20.0, 20.4, 20.1], [90.0, 0.0, 0.0]])[..., None]
    found = cells(values)
    for by_row in found.values():
        by_row["r2"] = by_row["r2"].iloc[:1]
    ranks = mean_ranks(found, higher(found))
    assert ranks["r2"].interval is None
    assert ranks["r0"].interval == (1.0, 2.0) and ranks["r1"].interval == (2.0, 3.0)


def test_many_rows_have_no_intervals_and_the_words_say_so() -> None:
    values = np.random.default_rng(5).normal(size=(41, 2, 1))
    assert mean_ranks(cells(values), higher(cells(values)))["r0"].interval is None
    fewer = mean_ranks(cells(values[:40]), higher(cells(values)))
    assert all(summary.interval is not None for summary in fewer.values())
    words = [ranked_columns({str(row): {A} for row in range(rows)}, set()).words for rows in (40, 41)]
    assert ["no intervals" in of_rows for of_rows in words] == [False, True]


@pytest.mark.parametrize("pretrainings", [2, 3, 10])
@pytest.mark.parametrize("apart", [0.1, 1.5])
@pytest.mark.parametrize("unequal", [1.0, 3.0])
def test_intervals_hold_the_true_mean_rank(pretrainings: int, apart: float, unequal: float) -> None:
    """In 95% of cases or more, also where rows hardly differ and where every other row varies three times."""
    generator = np.random.default_rng(3)
    held, rows = 0, 0
    spread = np.where(np.arange(5) % 2, unequal, 1.0)[:, None, None]
    for _ in range(30):
        truth = generator.normal(0, apart, (5, 1)) + generator.normal(0, apart, (5, 4))
        noise = 0.7 * generator.normal(size=(5, pretrainings, 1))
        noise = noise + 0.7 * generator.normal(size=(5, pretrainings, 4))
        values = cells(truth[:, None] + spread * noise)
        found = mean_ranks(values, higher(values))
        true_ranks = stats.rankdata(-truth, axis=0).mean(axis=1)
        for row, rank in enumerate(true_ranks):
            interval = found[f"r{row}"].interval
            assert interval is not None and interval[0] <= found[f"r{row}"].mean <= interval[1]
            held += interval[0] - 1e-9 <= rank <= interval[1] + 1e-9
            rows += 1
    assert held / rows > 0.95


def test_the_share_of_draws_is_how_often_the_leader_is_the_best_where_rows_differ() -> None:
    generator = np.random.default_rng(3)
    stated, leads = 0.0, 0
    for _ in range(30):
        truth = generator.normal(0, 1.5, (5, 1)) + generator.normal(0, 1.5, (5, 4))
        shared = generator.normal(size=(5, 3, 1))
        values = cells(truth[:, None] + 0.7 * shared + 0.7 * generator.normal(size=(5, 3, 4)))
        found = mean_ranks(values, higher(values))
        true_ranks = stats.rankdata(-truth, axis=0).mean(axis=1)
        leader = max(found, key=lambda name: found[name].p_best or 0)
        stated += found[leader].p_best or 0
        leads += true_ranks[int(leader[1:])] == true_ranks.min()
    assert abs(stated - leads) / 30 < 0.25
