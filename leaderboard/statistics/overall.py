"""How rows compare over several columns together."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

import pandas as pd

from mmbench.leaderboard.statistics.ranking import Key


@dataclass(frozen=True)
class Overall:
    """How ranked rows compare over all columns of the ranking.

    Attributes:
        iqm: by row name: interquartile mean of the normalised scores, with its 95% interval (Agarwal et al.
            2021, arXiv 2108.13264).
        profiles: by row name: share of runs whose normalised score is at least each of `thresholds`.
        critical_difference: p values of the pairs of ranked rows; None below six columns.
    """

    iqm: dict[str, tuple[float, float, float]]
    thresholds: tuple[float, ...]
    profiles: dict[str, tuple[float, ...]]
    critical_difference: dict[tuple[str, str], float] | None


def overall_of(
    cells: Mapping[Key, Mapping[str, pd.DataFrame]], higher: Mapping[Key, bool], controls: Set[str]
) -> Overall | None:
    """Return how ranked rows compare over all columns of the ranking; None where there is nothing to compare.

    Args:
        cells: by column and row: the runs; all columns have the same rows.
        higher: by column: whether higher is better.
        controls: names of the rows that were not pretrained.
    """
    return None
