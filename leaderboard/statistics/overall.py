"""How rows compare over several columns together."""

from __future__ import annotations

from dataclasses import dataclass


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
