"""The plan as a table: a column per task, a row per arm; plain lines without a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from mmbench.tools.suite.planning import Counts, Overview, counts, duration, lines

WIDEST = 24  # characters of a heading


def print_plan(found: Overview, console: Console | None = None) -> None:
    """Print a plan."""
    console = console or Console(soft_wrap=True)
    suite = found.plan.suite
    title = f": {suite.title}" if suite.title else ""
    console.print(f"suite {suite.name}{title}", markup=False, highlight=False, soft_wrap=True)
    done = f", {len(found.done)} done" if found.done else ""
    console.print(f"{len(found.plan.cells)} cells{done} in {found.folder.root}/", highlight=False)
    counted = counts(found)
    if console.is_terminal:
        console.print(_table(counted), soft_wrap=False)
    else:
        for column in counted.columns:
            rows = [row for row in (*counted.rows, "") if (row, column) in counted.cells]
            words = ", ".join(f"{row} {_share(counted, row, column)}".strip() for row in rows)
            console.print(f"{column}: {words}{_left(counted, column)}", markup=False, highlight=False)
    for line in lines(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _share(counted: Counts, row: str, column: str) -> str:
    """Return "3" cells, or "1/3" of which one is done."""
    cells, done = counted.cells[row, column], counted.done[row, column]
    return f"{done}/{cells}" if done else str(cells)


def _left(counted: Counts, column: str) -> str:
    seconds = counted.seconds[column]
    return f" (about {duration(seconds)} of work)" if seconds else " (done)"


def _table(counted: Counts) -> Table:
    """Return the cells per row (arms) and column (tasks), tasks downwards where there are more of them."""
    table = Table(title=None)
    table.add_column("cells", overflow="fold", max_width=2 * WIDEST)
    for row in counted.rows:
        table.add_column(row, justify="right", overflow="fold", max_width=WIDEST)
    table.add_column("work left", justify="right", no_wrap=True)
    for column in counted.columns:
        if column == "data":
            continue
        shares = (
            _share(counted, row, column) if (row, column) in counted.cells else "-" for row in counted.rows
        )
        seconds = counted.seconds[column]
        table.add_row(column, *shares, duration(seconds) if seconds else "done")
    return table
