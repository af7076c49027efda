"""How a running suite is shown: bars on a terminal, dated lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from mmbench.progress import timestamp
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.planning.plan import Plan
from mmbench.tools.suite.snapshot import RunningCell, Snapshot, left_alone, snapshot

REST = 8  # rows of the terminal that are not bars of cells
QUIET_SECONDS = 600.0  # after which a line says how far it is, where no cell ended


class SuiteDisplay:
    """Shows how far a suite is: all of it, and each running cell. It is the driver's observer.

    It draws when it is updated. Rich's own refresh thread may run between a printed line and a change in the
    number of bars, and then erases the wrong rows.

    Cells are numbered in the order of their ends, after those that were done before. One that ends
    again keeps its number.

    Args:
        plan: the suite.
        folder: where it runs.
        states: of the cells that were begun before, by id.
        workers: how many cells run at a time.
        console: where to print.
    """

    def __init__(
        self,
        plan: Plan,
        folder: SuiteFolder,
        states: Mapping[str, CellState],
        *,
        workers: int,
        console: Console,
    ) -> None:
        self._plan, self._folder, self._workers, self._console = plan, folder, workers, console
        self._names = {cell.id: cell.name for cell in plan.cells}
        self._states = {cell: state for cell, state in states.items() if cell in self._names}
        done = (id for id, state in self._states.items() if state.status == "done")
        self._numbers = {id: number for number, id in enumerate(done, 1)}  # of the cells that ended
        self._bars: dict[str, TaskID] = {}
        self._started = self._printed = time.monotonic()
        self._display = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[words]}", style="dim", markup=False),
            TextColumn("{task.fields[elapsed]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
            auto_refresh=False,
        )
        self._whole = self._display.add_task(plan.suite.name, total=1, words="", elapsed="")

    def __enter__(self) -> SuiteDisplay:
        self._display.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._display.stop()

    def update(self, states: Mapping[str, CellState]) -> None:
        """Take states that changed, by the id of the cell; print what ended, and draw the bars again."""
        ended = []
        for cell, state in states.items():
            before = self._states.get(cell)
            if cell not in self._names:
                continue
            self._states[cell] = state
            known = before is not None and (before.status, before.changed) == (state.status, state.changed)
            if state.status in ("done", "failed") and not known:
                ended.append(state)
        now = self.snapshot()
        for state in ended:
            number = self._numbers.setdefault(state.id, len(self._numbers) + 1)
            self._print(f"[{number:>3}/{now.number()}] {self._ended(state)}", now)
        if time.monotonic() - self._printed > QUIET_SECONDS and not self._console.is_terminal:
            cells = "; ".join(f"{cell.name} {cell.share:.0%} {cell.rate}".rstrip() for cell in now.running)
            self._print(f"{now.number('done')} of {now.number()} cells, running: {cells or 'none'}", now)
        self._draw(now)

    def say(self, line: str) -> None:
        """Print a line."""
        dated = line if self._console.is_terminal else f"{timestamp()} {line}"
        self._display.console.print(dated, markup=False, highlight=False, soft_wrap=True)

    def snapshot(self) -> Snapshot:
        """Return how far the suite is, by what was shown so far."""
        gone = left_alone(self._states, self._folder)
        return snapshot(self._plan, self._states, self._folder, workers=self._workers, gone=gone)

    def _ended(self, state: CellState) -> str:
        if state.status == "failed":
            return f"{state.name} FAILED: {state.error} (log: {self._folder.log(state.id)})"
        return f"{state.name}: {state.seconds:.1f} s"

    def _print(self, line: str, now: Snapshot) -> None:
        self._printed = time.monotonic()
        self.say(line if self._console.is_terminal else f"{line} ({now.time_left})")

    def _draw(self, now: Snapshot) -> None:
        if not self._console.is_terminal:
            return
        room = max(1, self._console.height - REST)
        shown = {cell.name: cell for cell in now.running[:room]}
        for name in self._bars.keys() - shown.keys():
            self._display.remove_task(self._bars.pop(name))
        for name, cell in shown.items():
            self._show(name, cell)
        words = f"{now.number('done')} of {now.number()} cells, {now.time_left}"
        if failed := now.number("failed"):
            words += f", {failed} failed"
        if hidden := len(now.running) - len(shown):
            words += f", {hidden} more running"
        elapsed = _clock(time.monotonic() - self._started)
        self._display.update(self._whole, completed=now.share, words=words, elapsed=elapsed)
        self._display.refresh()

    def _show(self, name: str, cell: RunningCell) -> None:
        if name not in self._bars:
            self._bars[name] = self._display.add_task(f"  {name}", total=1, words="", elapsed="")
        self._display.update(
            self._bars[name],
            completed=cell.done,
            total=max(1, cell.total),
            words=cell.report,
            elapsed=_clock(cell.seconds),
        )


def _clock(seconds: float) -> str:
    """Return a length of time as H:MM:SS."""
    return str(timedelta(seconds=int(seconds)))
