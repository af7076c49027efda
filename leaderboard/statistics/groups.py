"""Which rows of a column are not distinguishable from its best."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from mmbench.leaderboard.statistics.differences import difference_of_runs, holm
from mmbench.leaderboard.statistics.runs import Runs

SIGNIFICANCE = 0.05


def leading_group(by_row: Mapping[str, pd.DataFrame], higher_is_better: bool) -> frozenset[str]:
    """Return the names of the best row of a column and of all that are not distinguishable from it.

    The best is that of the rows with two or more runs; a row with a single run is never in the group, since
    its spread is unknown. The others are compared with it as `difference_of` does, and the p values are
    adjusted by Holm within the column. A row whose difference has no p value is not distinguishable.
    """
    runs = {name: Runs.of(by_row[name]) for name in sorted(by_row) if len(by_row[name]) > 1}
    if not runs:
        return frozenset()
    sign = 1 if higher_is_better else -1
    best = max(runs, key=lambda name: sign * runs[name].mean)  # of equal means the first by name
    ps = {name: difference_of_runs(other, runs[best]).p for name, other in runs.items() if name != best}
    known = {name: p for name, p in ps.items() if p is not None}
    adjusted = dict(zip(known, holm(list(known.values())), strict=True))
    return frozenset(name for name in runs if adjusted.get(name, 1.0) >= SIGNIFICANCE)
