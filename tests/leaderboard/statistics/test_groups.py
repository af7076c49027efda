"""Tie groups: the rows that are not distinguishable from the best of a column."""

from __future__ import annotations

import pandas as pd
from scipy import stats

from mmbench.leaderboard.statistics.groups import leading_group


def row(*values: float) -> pd.DataFrame:
    return pd.DataFrame({"value": values, "weights": [f"w{place}" for place in range(len(values))]})


def test_the_group_is_what_holm_within_the_column_leaves() -> None:
    values = {
        "a": [70.0, 71.0, 70.5],
        "b": [69.5, 70.8, 70.1],
        "c": [68.2, 69.0, 68.4],
        "d": [50.0, 51.0, 50.2],
    }
    ps = {}
    for name in "bcd":
        ours, theirs = values[name], values["a"]
        ps[name] = float(stats.ttest_ind(ours, theirs, equal_var=False).pvalue)
    expected, rejected = {"a"}, True
    for place, name in enumerate(sorted(ps, key=lambda name: ps[name])):
        rejected = rejected and ps[name] * (3 - place) < 0.05
        expected |= set() if rejected else {name}
    by_row = {name: row(*values[name]) for name in values}
    assert leading_group(by_row, True) == expected == {"a", "b", "c"} - ({"c"} - expected)
    assert leading_group(dict(reversed(by_row.items())), True) == expected
    assert leading_group(by_row, False) == {"d"}


def test_a_single_run_is_never_in_the_group() -> None:
    assert leading_group({"a": row(90.0), "b": row(60.0, 61.0), "c": row(60.5, 61.0)}, True) == {"b", "c"}
    assert leading_group({"a": row(90.0), "b": row(60.0)}, True) == frozenset()
    assert leading_group({}, True) == frozenset()


def test_a_row_whose_difference_is_unknown_is_in_the_group() -> None:
    assert leading_group({"a": row(90.0, 90.0), "b": row(60.0, 60.0)}, True) == {"a", "b"}
