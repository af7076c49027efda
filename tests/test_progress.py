"""Progress without a terminal: dated lines with share, rate and time left, and not too many of them."""

import io
import re
from collections.abc import Iterator

import pytest
from rich.console import Console

from mmbench import progress as module
from mmbench.progress import progress_report, rate_text


class Clock:
    """A clock that a test moves; rich's estimates read it too."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", clock)
    yield clock


def lines_of(console: Console) -> list[str]:
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def plain() -> Console:
    return Console(file=io.StringIO(), width=40)


def test_lines_have_time_share_rate_and_time_left(clock: Clock) -> None:
    console = plain()
    with progress_report(console, "linear [1]") as report:
        for done in range(0, 101, 10):
            report(done, 100, f"loss {done}")
            clock.now += 5.0
    lines = lines_of(console)
    assert len(lines) == 11
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d linear \[1\]: ", line) for line in lines)
    assert lines[0].endswith("0 of 100 (0%)  loss 0")
    assert lines[5].endswith("50 of 100 (50%), 2.0/s, 0:00:25 left  loss 50")  # 10 steps in 5 s
    assert lines[-1].endswith("100 of 100 (100%), 2.0/s  loss 100")


def test_a_long_run_prints_about_a_line_a_minute_and_its_last_state(clock: Clock) -> None:
    console = plain()
    hours = 10
    with progress_report(console, "mixmask") as report:
        for step in range(hours * 3600 + 1):
            report(step, hours * 3600 + 1, "")
            clock.now += 1.0
    lines = lines_of(console)
    assert hours * 60 <= len(lines) <= hours * 60 + 60
    assert "36000 of 36001" in lines[-1]


def test_quick_reports_print_the_first_and_the_last(clock: Clock) -> None:
    console = plain()
    with progress_report(console, "knn") as report:
        for done in range(1001):
            report(done, 1000, "features of train")
    lines = lines_of(console)
    assert len(lines) == 2 and "0 of 1000" in lines[0] and "1000 of 1000 (100%)" in lines[1]


def test_the_last_state_of_each_part_is_printed(clock: Clock) -> None:
    console = plain()
    with progress_report(console, "linear") as report:
        for total, words in ((3, "epoch"), (5, "features")):
            for done in range(total + 1):
                report(done, total, f"{words} {done}")
    assert [line.split("  ")[1] for line in lines_of(console)] == ["epoch 0", "epoch 3", "features 5"]


def test_the_last_state_is_printed_where_the_work_fails(clock: Clock) -> None:
    console = plain()
    with pytest.raises(RuntimeError), progress_report(console, "knn") as report:
        report(1, 9, "")
        report(2, 9, "")
        raise RuntimeError
    assert "2 of 9" in lines_of(console)[-1]


def test_the_rate_starts_again_with_the_next_part(clock: Clock) -> None:
    console = plain()
    with progress_report(console, "knn") as report:
        for speed, words in ((1, "train"), (100, "test")):  # of the same length
            for done in range(0, 1001, speed):
                report(done, 1000, words)
                clock.now += 1.0
    assert ", 100.0/s" in lines_of(console)[-1]


def test_without_reports_nothing_is_printed() -> None:
    console = plain()
    with progress_report(console, "knn"):
        pass
    assert lines_of(console) == []


def test_a_terminal_shows_a_bar_with_the_rate(clock: Clock) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with progress_report(console, "knn") as report:
        for done in range(0, 101, 10):
            report(done, 100, "features")
            clock.now += 5.0
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "100/100" in shown and "2.0/s" in shown and "features" in shown


@pytest.mark.parametrize(
    ("speed", "text"), [(None, ""), (0.0, ""), (12.34, "12.3/s"), (1.0, "1.0/s"), (0.25, "4.0 s each")]
)
def test_slow_work_is_given_in_seconds_each(speed: float | None, text: str) -> None:
    assert rate_text(speed) == text
