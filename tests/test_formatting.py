"""Every command writes a measured number in the same digits."""

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.formatting import difference, rounded


@given(right=st.integers(0, 4000), images=st.integers(1, 4000), decimals=st.integers(0, 3))
def test_halves_of_counts_are_rounded_up_as_by_hand(right: int, images: int, decimals: int) -> None:
    """Of 400 images 331 are 82.75%: at one decimal that is 82.8, whatever the float's last bit is."""
    share = min(right, images) * Fraction(100, images)
    exact = Decimal(share.numerator) / Decimal(share.denominator)
    expected = exact.quantize(Decimal(1).scaleb(-decimals), rounding=ROUND_HALF_UP)
    assert rounded(float(100 * min(right, images) / images), decimals) == str(expected)


def test_differences_of_shares_are_rounded_as_by_hand() -> None:
    """82.75 - 79.7 is 3.05, and 3.1 at one decimal, although the float is 3.0499999999999972."""
    for first in range(0, 2000, 7):
        for second in range(0, first, 13):
            exact = Decimal(first - second) / 20  # of 2,000 images, in percent
            expected = exact.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP)
            assert rounded(100 * first / 2000 - 100 * second / 2000, 1) == str(expected), (first, second)


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [(0.125, 2, "0.13"), (0.375, 2, "0.38"), (2.675, 2, "2.68"), (-0.001, 2, "0.00"), (1e-12, 3, "0.000")],
)
def test_ties_go_up_and_zero_has_no_sign(value: float, decimals: int, expected: str) -> None:
    assert rounded(value, decimals) == expected


def test_differences_have_a_typographic_sign() -> None:
    assert [difference(value) for value in (3.14, -0.04, -0.06, 0.0)] == ["+3.1", "+0.0", "−0.1", "+0.0"]
    assert difference(-0.0125, "nats") == "−0.013"
