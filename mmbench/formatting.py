"""How measured numbers are formatted, the same in every command and on every page."""

from __future__ import annotations

import functools
from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

Unit = Literal["percent", "nats", "count"]

# Two decimals of a percentage resolve one image of 10,000; a loss is compared in its third decimal.
DECIMALS: dict[Unit, int] = {"percent": 2, "nats": 3, "count": 0}
# A difference of means varies by more than a hundredth of a point from seed to seed.
DIFFERENCE_DECIMALS: dict[Unit, int] = {"percent": 1, "nats": 3, "count": 0}
SIGNIFICANT = 13  # digits of a number that floating-point sums leave exact, with some to spare


@functools.lru_cache(maxsize=2**14)  # a page shows the same number in several places
def rounded(value: float, decimals: int) -> str:
    """Return a finite number with `decimals` decimals, halves rounded away from zero; never "-0.00".

    The decimal number of SIGNIFICANT digits is rounded, as a reader would do: Python's own format gives 0.12
    for 0.125, and 2.67 for 2.675. Differences and means are a little beside the half that they stand for.

    >>> rounded(0.125, 2), rounded(2.675, 2), rounded(82.75 - 79.7, 1)
    ('0.13', '2.68', '3.1')
    """
    step = Decimal(1).scaleb(-decimals)
    found = Decimal(f"{value:.{SIGNIFICANT}g}").quantize(step, rounding=ROUND_HALF_UP)
    return f"{abs(found) if found.is_zero() else found:f}"


def measured(value: float, unit: Unit = "percent") -> str:
    """Return a metric's value, a mean of values, or their standard deviation.

    >>> measured(82.75), measured(0.6931, "nats")
    ('82.75', '0.693')
    """
    return rounded(value, DECIMALS[unit])


def difference(value: float, unit: Unit = "percent", decimals: int | None = None) -> str:
    """Return a difference between two means with its sign, by the typographic minus; zero is "+0.0".

    Args:
        decimals: None takes those of the unit.

    >>> difference(3.14), difference(-0.04), difference(-0.04, decimals=2)
    ('+3.1', '+0.0', '−0.04')
    """
    found = rounded(value, DIFFERENCE_DECIMALS[unit] if decimals is None else decimals)
    return f"−{found[1:]}" if found.startswith("-") else f"+{found}"


def between(interval: tuple[float, float], unit: Unit = "percent") -> str:
    """Return a metric's interval, low and high.

    >>> between((61.2, 64.125))
    '61.20 to 64.13'
    """
    return f"{measured(interval[0], unit)} to {measured(interval[1], unit)}"
