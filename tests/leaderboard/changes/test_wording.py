"""Changed numbers in words: the decimals of the unit, more where these would hide the change."""

import pytest

from mmbench.leaderboard.changes.wording import change_words


def test_fields_without_a_unit_have_two_decimals_or_three_digits() -> None:
    assert change_words(60.0, 61.5) == "60.00 -> 61.50" and change_words(None, 2) == "none -> 2"
    assert change_words(0.001, 0.002) == "0.001 -> 0.002" and change_words("a", "b") == "a -> b"
    assert change_words(60.0, 60.0000001) == "60.0 -> 60.0000001"


@pytest.mark.parametrize(
    ("one", "other", "path", "unit", "words"),
    [
        (91.575, 70.0, "mean", "percent", "91.58 -> 70.00"),
        (91.5712, 91.5741, "mean", "percent", "91.571 -> 91.574"),
        (0.0041, 0.0045, "summary.mean", "nats", "0.004 -> 0.005"),
        (0.0041, 0.0044, "summary.mean", "nats", "0.0041 -> 0.0044"),
        (101.0, 100.0, "mean", "count", "101 -> 100"),
        (100.25, 100.0, "summary.std", "count", "100.3 -> 100.0"),
        (None, 0.0041, "summary.interval.low", "nats", "none -> 0.004"),
        (1.25, -3.0, "delta.value", "percent", "+1.3 -> −3.0"),
        (0.0004, -0.0004, "delta.interval.low", "nats", "+0.0004 -> −0.0004"),
        (0.0123, 0.00012, "delta.adjusted_p", "percent", "0.012 -> 0.00012"),
        (0.0501, 0.0496, "delta.adjusted_p", "percent", "0.05 -> 0.0496"),
        (0.2, 1e-12, "delta.p", "nats", "0.2 -> < 0.0001"),
        (1.5, 2.0, "rank", "count", "1.50 -> 2.00"),
        (0.004, 0.999, "p_best", None, "<1% -> >99%"),
        (0.004, 0.005, "p_best", None, "0.004 -> 0.005"),
    ],
)
def test_fields_are_written_as_the_page_writes_them(
    one: float | None, other: float, path: str, unit: str | None, words: str
) -> None:
    assert change_words(one, other, path, unit) == words  # type: ignore[arg-type]
