"""The leaderboard as a pandas table: the numbers of the records, from a folder and from objects."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mmbench.errors import UserError
from mmbench.leaderboard.dataframe import LEVELS, Statistic, build_leaderboard
from mmbench.records.store import Result, ResultStore


def test_means_are_those_of_the_records_and_rows_are_sorted_by_rank(board_records: Path) -> None:
    table = build_leaderboard(board_records)
    values: dict[tuple[str, str], dict[int | None, list[float]]] = {}
    for result in ResultStore(board_records):
        runs = values.setdefault((result.model.arm, result.protocol), {})
        runs.setdefault(result.model.seed, []).append(result.metrics[result.primary_metric].value)
    expected = {
        cell: sum(sum(runs) / len(runs) for runs in seeds.values()) / len(seeds)
        for cell, seeds in values.items()
    }
    assert table.index.name == "arm" and tuple(table.columns.names) == LEVELS
    assert table.shape == (6, 6) and set(table.index) == {arm for arm, _ in expected}
    for arm, row in table.iterrows():
        for (_, dataset, protocol, _), value in row.items():  # type: ignore[misc]
            assert dataset == "patterns"
            if (str(arm), protocol) in expected:
                assert value == pytest.approx(expected[str(arm), protocol])
            else:
                assert pd.isna(value)
    ranks = build_leaderboard(board_records, statistic="rank").loc[table.index[:-1]].mean(axis=1)
    assert list(ranks) == sorted(ranks) and table.index[-1] == "pixels"


def test_objects_give_the_same_table_as_their_folder(board_records: Path) -> None:
    for statistic in ("mean", "std", "runs", "rank"):
        assert_same = build_leaderboard(iter(ResultStore(board_records)), statistic=statistic)
        pd.testing.assert_frame_equal(
            assert_same, build_leaderboard(str(board_records), statistic=statistic), check_exact=True
        )


@pytest.mark.parametrize(
    ("statistic", "value"), [("mean", 60.0), ("std", 2.0**0.5), ("runs", 2), ("rank", 1)]
)
def test_statistics_of_a_cell(record: Callable[..., Result], statistic: Statistic, value: float) -> None:
    records = [record("mixmask", seed=seed, value=59.0 + 2 * seed) for seed in (0, 1)]
    records.append(record("moco", value=50.0))
    table = build_leaderboard(records, statistic=statistic)
    assert table.loc["mixmask", ("linear", "patterns", "linear/patterns@1", "top1")] == pytest.approx(value)
    assert pd.isna(build_leaderboard(records, statistic="std").loc["moco"]).all()


def test_differences_to_a_baseline(record: Callable[..., Result]) -> None:
    records = [record("mixmask", value=60.0), record("moco", value=50.0)]
    table = build_leaderboard(records, baseline="moco", statistic="delta")
    assert table.iloc[:, 0].to_dict() == {"mixmask": 10.0, "moco": 0.0}
    with pytest.raises(UserError, match=r"baseline 'mco'.*moco"):
        build_leaderboard(records, baseline="mco")


def test_intervals_and_p_values_against_scipy(record: Callable[..., Result]) -> None:
    ours, theirs = [60.0, 61.0, 63.5], [50.0, 52.0, 51.5]
    records = [record("mixmask", seed=seed, value=value) for seed, value in enumerate(ours)]
    records += [record("moco", seed=seed, value=value) for seed, value in enumerate(theirs)]

    def of_mixmask(statistic: Statistic) -> float:
        table = build_leaderboard(records, baseline="moco", statistic=statistic)
        return float(table.iloc[:, 0]["mixmask"])

    alone = stats.t.interval(0.95, 2, np.mean(ours), stats.sem(ours))
    assert (of_mixmask("low"), of_mixmask("high")) == pytest.approx(alone)
    assert of_mixmask("p") == pytest.approx(stats.ttest_ind(ours, theirs, equal_var=False).pvalue)
    low, high = of_mixmask("delta_low"), of_mixmask("delta_high")
    assert low < of_mixmask("delta") < high and low + high == pytest.approx(2 * of_mixmask("delta"))
    assert pd.isna(build_leaderboard(records, statistic="p")).all(axis=None)


def test_several_folders_and_conditions(board_records: Path, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    for result in ResultStore(board_records):
        if result.model.arm == "moco":
            arm = result.model.model_copy(update={"arm": "copied"})
            store.write(result.model_copy(update={"model": arm}))
    table = build_leaderboard([board_records, tmp_path], where=["arm=moco,copied"])
    assert list(table.index) == ["copied", "moco"] and (table.loc["moco"] == table.loc["copied"]).all()
    with pytest.raises(UserError, match="folders or records, not both"):
        build_leaderboard([tmp_path, next(iter(store))])  # type: ignore[list-item]


def test_records_that_do_not_compare_are_refused(record: Callable[..., Result]) -> None:
    with pytest.raises(UserError, match=r"versions @1, @2.*linear-patterns@1/moco-"):
        build_leaderboard([record("moco"), record("mixmask", "linear/patterns@2")])
    with pytest.raises(UserError, match=r"results = \[\]: name at least one"):
        build_leaderboard([])


@pytest.mark.parametrize("wrong", [None, 7, [7]])
def test_what_holds_no_records_is_one_line(wrong: Any) -> None:
    with pytest.raises(UserError, match=r"results = (None|7): must be folders of records"):
        build_leaderboard(wrong)


def test_an_unknown_statistic_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="statistic = 'median': must be one of 'mean', 'std'"):
        build_leaderboard(tmp_path, statistic="median")  # type: ignore[arg-type]
