"""Changed numbers in words: as `show` and the page write them, with more decimals where these hide it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmbench.formatting import DECIMALS, DIFFERENCE_DECIMALS, Unit, difference, rounded
from mmbench.leaderboard.render.wording import p_words, probability_words

MOST_DECIMALS = 9  # what differs beyond them is rounding
IN_THE_UNIT = ("mean", "std", "low", "high", "value")  # fields that are in the metric's unit


def change_words(one: Any, other: Any, path: str = "", unit: Unit | None = None) -> str:
    """Return two values with an arrow.

    Args:
        path: names of the field and of what holds it, such as "delta.interval.low".
        unit: of the metric that the field is about, if it is about one.
    """
    parts = path.split(".")
    numbers = [value for value in (one, other) if isinstance(value, float)]
    if unit is not None and parts[-1] in IN_THE_UNIT:
        if "delta" in parts:
            decimals = difference_decimals(numbers, unit)
            shown = [difference(value, unit, decimals) for value in numbers]
        else:
            shown = [rounded(value, value_decimals(numbers, unit)) for value in numbers]
    elif parts[-1] in ("p", "adjusted_p"):
        shown = [p_words(value) for value in numbers]
    elif parts[-1] == "p_best":
        shown = [probability_words(value) for value in numbers]
    else:
        shown = [rounded(value, 2) if abs(value) >= 1 else f"{value:.3g}" for value in numbers]
    if len(set(shown)) < len(shown):
        shown = [repr(value) for value in numbers]
    texts = iter(shown)
    words = [next(texts) if isinstance(value, float) else str(value) for value in (one, other)]
    return " -> ".join("none" if text == "None" else text for text in words)


def value_decimals(values: list[float], unit: Unit) -> int:
    """Return the decimals of a metric's unit, or as many more as tell two different values apart."""
    return _enough(DECIMALS[unit], lambda decimals: _told_apart(values, decimals))


def difference_decimals(values: list[float], unit: Unit) -> int:
    """Return the decimals of differences, or as many more as tell them apart and from zero."""
    return _enough(DIFFERENCE_DECIMALS[unit], lambda decimals: _told_apart([0.0, *values], decimals))


def _enough(least: int, told_apart: Callable[[int], bool]) -> int:
    """Return the fewest decimals that tell apart, from `least` on; `least` if none do."""
    return next((decimals for decimals in range(least, MOST_DECIMALS + 1) if told_apart(decimals)), least)


def _told_apart(values: list[float], decimals: int) -> bool:
    return len({rounded(value, decimals) for value in values}) == len(set(values))
