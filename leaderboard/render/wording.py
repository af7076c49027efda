"""How numbers are formatted, the same in every renderer; a half is rounded up (see `rounded`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

from mmbench.formatting import difference, measured, rounded
from mmbench.leaderboard.board import Cell, Column, Delta, Row
from mmbench.leaderboard.statistics.summaries import SIGNIFICANCE, Summary

MISSING = "–"


def metric_words(column: Column) -> str:
    """Return the metric with its unit and, where lower is better, a word on that."""
    unit = {"percent": " %", "nats": " nats", "count": ""}[column.unit]
    return f"{column.metric}{unit}" + ("" if column.higher_is_better else ", lower is better")


def score(value: float, column: Column) -> str:
    """Return a mean or a standard deviation in the column's decimals."""
    return measured(value, column.unit)


def count(summary: Summary) -> str:
    """Return "n=2", or "n=6, 2 seeds" where several runs share their pretraining."""
    if summary.pretrainings in (summary.runs, 0):
        return f"n={summary.runs}"
    seeds = f"{summary.pretrainings} seed{'s' if summary.pretrainings > 1 else ''}"
    return f"n={summary.runs}, {seeds}"


def spread(cell: Cell, column: Column) -> str:
    """Return "± 1.2", or nothing for a single run, whose spread is unknown."""
    std = cell.summary.std
    return "" if std is None else f"± {score(std, column)}"


def signed(value: float, column: Column) -> str:
    """Return a difference with its sign, by the typographic minus; what rounds to zero is +0.0."""
    return difference(value, column.unit)


def delta_words(delta: Delta, column: Column) -> str:
    """Return "+3.1 [−2.0, +8.2]"; a ° marks an interval that speaks of single weights alone."""
    text = signed(delta.value, column)
    if delta.interval is None:
        return text
    mark = "" if delta.interval.basis == "pretrainings" else "°"
    return f"{text} [{signed(delta.interval.low, column)}, {signed(delta.interval.high, column)}]{mark}"


def delta_class(delta: Delta) -> str:
    """Return the classes of a difference on the page: coloured only where it is beyond chance."""
    favour = "even" if delta.better is None else "gain" if delta.better else "loss"
    return f"{favour} sure" if delta.separable else favour


def rank_words(row: Row) -> str:
    """Return the mean rank and its interval, "1.5 [1.0, 2.3]"; of a row that is not ranked a dash."""
    if row.mean_rank is None:
        return MISSING
    if row.rank_interval is None:
        return rounded(row.mean_rank, 1)
    low, high = (rounded(end, 1) for end in row.rank_interval)
    return f"{rounded(row.mean_rank, 1)} [{low}, {high}]"


def probability_words(probability: float | None) -> str:
    """Return a probability in whole percent; what is neither 0 nor 1 is never shown as 0 or 100%."""
    if probability is None:
        return MISSING
    if 0 < probability < 0.01:
        return "<1%"
    if 0.99 < probability < 1:
        return ">99%"
    return f"{rounded(100 * probability, 0)}%"


def p_words(value: float | None) -> str:
    """Return a p value with two digits that count, and as many more as tell it from SIGNIFICANCE; never 0.

    >>> p_words(0.0312), p_words(0.0496), p_words(0.05), p_words(1e-9)
    ('0.031', '0.0496', '0.05', '< 0.0001')
    """
    if value is None:
        return ""
    if value < 0.0001:
        return "< 0.0001"
    texts = (f"{value:.{digits}g}" for digits in range(2, 18))  # 17 digits are the number itself
    return next(text for text in texts if (float(text) < SIGNIFICANCE) == (value < SIGNIFICANCE))


def compute_words(seconds: float | None, kind: str | None) -> str:
    """Return computing time with its kind: "22 min CPU", "5.3 h GPU"."""
    if seconds is None or kind is None:
        return MISSING
    return f"{seconds_words(seconds)} {kind.upper()}"


def rate_words(images_per_second: float | None) -> str:
    """Return images per second in three digits, such as "812", "0.57" or "13,400"."""
    if images_per_second is None:
        return MISSING
    digits = max(0, 2 - math.floor(math.log10(images_per_second))) if images_per_second > 0 else 0
    return f"{Decimal(rounded(images_per_second, digits)):,}"


def seconds_words(seconds: float | None) -> str:
    """Return a duration in a suitable unit: "35 s", "12 min", "5.3 h"."""
    if seconds is None:
        return MISSING
    if seconds < 120:
        return f"{rounded(seconds, 0 if seconds >= 10 else 1)} s"
    if seconds < 7200:
        return f"{rounded(seconds / 60, 0)} min"
    return f"{rounded(seconds / 3600, 1)} h"


def seeds_words(row: Row) -> str:
    """Return the pretraining seeds of an arm, such as "0, 1"."""
    return ", ".join(map(str, row.pretraining_seeds)) or MISSING


def named(names: Sequence[str], limit: int = 8) -> str:
    """Return names separated by commas; of many the first few and the number of the others."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
