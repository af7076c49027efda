"""Progress of one long piece of work: a bar on a terminal, a few lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Report = Callable[[int, int, str], None]
LINES_WITHOUT_TERMINAL = 20
SECONDS_BETWEEN_LINES = 2.0


@contextlib.contextmanager
def progress_report(console: Console, title: str) -> Iterator[Report]:
    """Yield a report function (done, total, words): a bar, or some twenty lines, at least seconds apart."""
    if not console.is_terminal:
        last, told = -1, 0.0

        def lines(done: int, total: int, words: str) -> None:
            nonlocal last, told
            share, now = done * LINES_WITHOUT_TERMINAL // max(1, total), time.monotonic()
            if share != last and (now - told >= SECONDS_BETWEEN_LINES or done == total):
                last, told = share, now
                console.print(f"{title}: step {done} of {total}  {words}", highlight=False, markup=False)

        yield lines
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(title, total=None, words="loading")
        yield lambda done, total, words: progress.update(bar, completed=done, total=total, words=words)
