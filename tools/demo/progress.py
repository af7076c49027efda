"""The demo's progress: one bar for all of it and one per running cell; dated lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from mmbench.progress import timestamp
from mmbench.tools.demo.plan import Cell
from mmbench.tools.demo.worker import Progress as Message


class DemoProgress:
    """Shows how far the demo is, and estimates the time left from the cells' costs and the speed so far.

    Args:
        cells: the cells that are not finished.
        workers: how many cells run at a time.
        total: number of cells in the whole demo, finished ones included.
        console: where to print.
    """

    def __init__(self, cells: Iterable[Cell], workers: int, total: int, console: Console) -> None:
        self._costs = {cell.name: cell.seconds for cell in cells}
        self._fractions = dict.fromkeys(self._costs, 0.0)
        self._workers = workers
        self._total = total
        self._console = console
        self._started: dict[str, float] = {}
        self._spent: dict[str, float] = {}
        self._bars: dict[str, TaskID] = {}
        self._display = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("[dim]{task.fields[words]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
            # The scheduler draws: rich's refresh thread may run between a printed line and a change in the
            # number of bars, and then erases the wrong rows.
            auto_refresh=False,
        )
        self._whole = self._display.add_task("[bold]demo", total=sum(self._costs.values()) or 1, words="")

    def __enter__(self) -> DemoProgress:
        self._display.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._display.stop()

    def draw(self) -> None:
        """Draw the bars again; call it several times a second."""
        self._display.refresh()

    @property
    def finished(self) -> int:
        """Number of finished cells."""
        return self._total - sum(1 for name in self._costs if name not in self._spent)

    def seconds_left(self) -> float:
        """Return the estimated wall time left, in seconds."""
        expected = sum(self._costs[name] for name in self._spent)
        slowness = sum(self._spent.values()) / expected if expected else 1.0
        remaining = sum(cost * (1 - self._fractions[name]) for name, cost in self._costs.items())
        return slowness * remaining / self._workers

    def begin(self, cell: Cell) -> None:
        """Record that a worker started `cell`."""
        self._started[cell.name] = time.monotonic()
        self._bars[cell.name] = self._display.add_task(f"  {cell.name}", total=1, words="")

    def receive(self, message: Message) -> None:
        """Record a worker's progress on its cell."""
        bar = self._bars.get(message.cell)
        if bar is None or message.cell in self._spent:
            return
        self._fractions[message.cell] = min(1.0, message.done / max(1, message.total))
        self._display.update(bar, completed=message.done, total=max(1, message.total), words=message.words)
        self._show_whole()

    def end(self, cell: Cell) -> None:
        """Record that `cell` is finished."""
        self._spent[cell.name] = time.monotonic() - self._started[cell.name]
        self._fractions[cell.name] = 1.0
        self._display.remove_task(self._bars[cell.name])
        self._show_whole()
        done = f"[{self.finished:>3}/{self._total}] {cell.name}: {self._spent[cell.name]:.1f} s"
        if not self._console.is_terminal:
            done = f"{timestamp()} {done} ({self._words_left()})"
        self._display.console.print(done, markup=False, highlight=False, soft_wrap=True)

    def _words_left(self) -> str:
        seconds = self.seconds_left()
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"

    def _show_whole(self) -> None:
        completed = sum(cost * self._fractions[name] for name, cost in self._costs.items())
        words = f"{self.finished} of {self._total} parts, {self._words_left()}"
        self._display.update(self._whole, completed=completed, words=words)
