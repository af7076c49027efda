"""Progress of long work: a bar in a terminal, dated lines elsewhere, both with the rate and the time left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

Report = Callable[[int, int, str], None]
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 60.0  # seconds between two lines
RATE_SECONDS = 600.0  # of the past that rate and time left are estimated from


def rate_text(speed: float | None) -> str:
    """Return how fast the work goes: per second, or seconds each where it is slow.

    >>> rate_text(12.34), rate_text(0.25), rate_text(None)
    ('12.3/s', '4.0 s each', '')
    """
    if not speed:
        return ""
    return f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each"


def timestamp() -> str:
    """Return the local time, as the lines of a log begin with it."""
    return time.strftime("%Y-%m-%d %H:%M:%S")


class RateColumn(ProgressColumn):
    """The rate of the work."""

    def render(self, task: Task) -> Text:
        """Return it as text."""
        return Text(rate_text(task.speed))


class _Lines:
    """Prints lines: the first report, others at growing intervals of at most a minute, and the last one."""

    def __init__(self, console: Console, title: str) -> None:
        self._console, self._title = console, title
        self._progress = _estimating(disable=True)
        self._bar = self._progress.add_task(title, total=None)
        self._started = time.monotonic()
        self._printed: float | None = None
        self._pending = ""

    def report(self, done: int, total: int, words: str) -> None:
        """Take a report; print a line where one is due. A part of another length ends the part before it."""
        (task,) = self._progress.tasks
        if total != task.total:
            self.flush()
        _advance(self._progress, self._bar, done, total)
        now = time.monotonic()
        self._pending = f"{self._title}: {self._state(done, total)}  {words}".rstrip()
        pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, (now - self._started) / 10))
        if self._printed is None or now - self._printed >= pause:
            self.flush()
            self._printed = now

    def flush(self) -> None:
        """Print the newest report, if it was not printed yet."""
        if self._pending:
            line = f"{timestamp()} {self._pending}"
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        self._pending = ""

    def _state(self, done: int, total: int) -> str:
        (task,) = self._progress.tasks
        parts = [f"{done} of {total} ({done / max(1, total):.0%})", rate_text(task.speed)]
        if task.time_remaining is not None and done < total:
            parts.append(f"{timedelta(seconds=round(task.time_remaining))} left")
        return ", ".join(part for part in parts if part)


def _estimating(*columns: ProgressColumn, **attributes: Any) -> Progress:
    """Return rich's progress, which estimates rate and time left from the past ten minutes."""
    return Progress(*columns, get_time=time.monotonic, speed_estimate_period=RATE_SECONDS, **attributes)


def _advance(progress: Progress, bar: TaskID, done: int, total: int) -> None:
    """Move a bar; where the work starts again, as with the next split, its rate does too."""
    if done < next(task for task in progress.tasks if task.id == bar).completed:
        progress.reset(bar, total=total, completed=done)
    progress.update(bar, completed=done, total=total)


@contextlib.contextmanager
def progress_report(console: Console, title: str) -> Iterator[Report]:
    """Yield a report function (done, total, words) that shows how far the work is.

    In a terminal it moves a bar. Elsewhere it prints plain lines with the time, the share that is done, the
    rate and the time left: the first at once, the last at the end, and others at intervals that grow from two
    seconds to a minute.
    """
    if not console.is_terminal:
        lines = _Lines(console, title)
        try:
            yield lines.report
        finally:
            lines.flush()
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
    )
    with _estimating(*columns, console=console) as progress:
        bar = progress.add_task(title, total=None, words="loading")

        def report(done: int, total: int, words: str) -> None:
            _advance(progress, bar, done, total)
            progress.update(bar, words=words)

        yield report
