"""The plan as a table: a row per task, a column per arm; plain lines without a terminal or its width."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from mmbench.tools.suite.planning.overview import Counts, Overview, counts, duration, lines

NARROWEST = 6  # characters of a column, whose heading is folded


def print_plan(found: Overview, console: Console | None = None) -> None:
    """Print a plan."""
    console = console or Console(soft_wrap=True)
    suite = found.plan.suite
    title = f": {suite.title}" if suite.title else ""
    console.print(f"suite {suite.name}{title}", markup=False, highlight=False, soft_wrap=True)
    done = f", {len(found.done)} done" if found.done else ""
    console.print(f"{len(found.plan.cells)} cells{done} in {found.folder.root}/", highlight=False)
    counted = counts(found)
    unbounded = console.options.update(max_width=10**6)
    tables = (_table(counted), _table(counted, NARROWEST)) if console.is_terminal else ()
    for table in tables:
        if Measurement.get(console, unbounded, table).minimum <= console.width:
            console.print(table, soft_wrap=False)
            break
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


def _table(counted: Counts, widest: int | None = None) -> Table:
    """Return the cells of each task (downwards) and arm, whose name is folded where it is wider."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("cells", no_wrap=True)
    for row in counted.rows:
        table.add_column(row, justify="right", overflow="fold", max_width=widest)
    table.add_column("left", justify="right", no_wrap=True)
    for column in counted.columns:
        if column == "data":
            continue
        shares = (
            _share(counted, row, column) if (row, column) in counted.cells else "-" for row in counted.rows
        )
        seconds = counted.seconds[column]
        table.add_row(column, *shares, duration(seconds) if seconds else "done")
    return table
