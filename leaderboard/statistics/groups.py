"""Which rows of a column may be its best."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmbench.leaderboard.statistics.differences import difference_of, holm
from mmbench.leaderboard.statistics.rounding import levelled
from mmbench.leaderboard.statistics.runs import Measured, Runs
from mmbench.leaderboard.statistics.summaries import SIGNIFICANCE

LEADERS = 3


def leading_group(by_row: Mapping[str, Measured], higher_is_better: bool) -> frozenset[str]:
    """Return the names of the rows of a column that no other row is better than beyond chance.

    Each row is compared with the three of the best means, as `difference_of` does: where the best one varies
    much, the second may tell more. The p values are adjusted by Holm within the column. A row with a single
    run is never in the group, since its spread is unknown; nor is it one of the three. A row whose
    differences have no p value is not distinguishable.
    """
    every = {name: Runs.of(by_row[name]) for name in sorted(by_row)}
    runs = {name: found for name, found in every.items() if len(found.values) > 1}
    sign = 1 if higher_is_better else -1
    level = levelled(np.array([found.mean for found in runs.values()], dtype=np.float64))
    means = dict(zip(runs, level.tolist(), strict=True))
    by_mean = sorted(runs, key=lambda name: -sign * means[name])  # of equal means the first by name
    leaders = by_mean[:LEADERS]
    pairs = [
        (leader, name)
        for place, leader in enumerate(leaders)
        for name in runs
        if name not in leaders[: place + 1]
    ]
    ps = {pair: difference_of(runs[pair[0]], runs[pair[1]]).p for pair in pairs}
    known = {pair: p for pair, p in ps.items() if p is not None}
    adjusted = zip(known, holm(list(known.values())), strict=True)
    beaten = {min(pair, key=lambda name: sign * means[name]) for pair, p in adjusted if p < SIGNIFICANCE}
    return frozenset(runs) - beaten
