"""Board to the terminal: as many tables as its columns need at this width."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmbench.file_names import printable
from mmbench.leaderboard.board import Board, Column, Row
from mmbench.leaderboard.render.layout import MOST_ROWS, RowColumn, first_rows, legend, row_columns
from mmbench.leaderboard.render.wording import (
    MISSING,
    count,
    delta_words,
    metric_words,
    score,
    seconds_words,
    signed,
    spread,
)

GAP = 3  # characters between columns, with the line
LONGEST_ARM = 32  # characters of a name in a line; a longer one goes on in the next
ROOMY = 24  # characters of a column with room for an interval
NARROWEST = 9


def print_board(board: Board, console: Console, *, limit: int | None = MOST_ROWS) -> None:
    """Print the verdict, the measured rows, their differences to the baseline, and the caveats.

    Columns that do not fit beside each other go into further tables.

    Args:
        limit: number of rows; None for all.
    """
    rows, omission = first_rows(board, limit)
    about = row_columns(board, "scores")
    arm_width = _arm_width(rows, console.width)
    beside = sum(
        max(cell_len(entry.heading), *(cell_len(entry.words(row)) for row in rows)) + GAP for entry in about
    )
    room = console.width - arm_width - GAP
    if room - beside < NARROWEST:  # ranks alone first, if not even one column fits beside them
        groups: list[tuple[Column, ...]] = [(), *_groups(board.columns, room)]
    else:
        first = _fitting(board.columns, room - beside)
        groups = [board.columns[:first], *_groups(board.columns[first:], room)]
    console.print(Text(printable(board.title), style="bold"))
    console.print(Text(printable(board.verdict)))
    for place, group in enumerate(groups):
        shown = about if place == 0 else ()
        if group or shown:
            console.print(_table(board, rows, shown, group, (arm_width, room - (beside if shown else 0))))
    for line in (omission, *legend(board)):
        if line:
            console.print(Text(printable(line), style="dim"))
    for note in board.footnotes:
        console.print(Text(f"* {printable(note)}"))


def _arm_width(rows: Sequence[Row], width: int) -> int:
    """Return the characters of the first column: of the longest name or fact below it, within bounds."""
    longest = max(cell_len(line) for row in rows for line in _arm(row).plain.split("\n"))
    return min(longest, LONGEST_ARM, max(NARROWEST, width // 2 - GAP))


def _groups(columns: Sequence[Column], room: int) -> list[tuple[Column, ...]]:
    """Split columns into groups that fit."""
    size = max(1, _fitting(columns, room))
    return [tuple(columns[start : start + size]) for start in range(0, len(columns), size)]


def _fitting(columns: Sequence[Column], room: int) -> int:
    """Return how many columns of their least width fit."""
    widths = itertools.accumulate(_least_width(column) + GAP for column in columns)
    return sum(width <= room for width in widths)


def _least_width(column: Column) -> int:
    """Return the longest word of the heading, or what a score needs."""
    words = f"{column.label} {metric_words(column)}".split()
    return min(max(NARROWEST, *map(cell_len, words)), ROOMY)


def _table(
    board: Board,
    rows: Sequence[Row],
    about: Sequence[RowColumn],
    columns: Sequence[Column],
    widths: tuple[int, int],
) -> Table:
    """Return one table; `widths` are those of the first column and of all scores together."""
    arm_width, room = widths
    share = room // len(columns) - GAP if columns else 0
    table = Table(pad_edge=False, show_lines=True)
    table.add_column("arm", width=arm_width, overflow="fold")
    for entry in about:
        table.add_column(entry.heading, justify="right", no_wrap=True)
    for column in columns:
        heading = Text(f"{printable(column.label)}\n{printable(metric_words(column))}")
        table.add_column(heading, justify="right", overflow="fold", max_width=max(share, NARROWEST))
    for row in rows:
        facts = (Text(entry.words(row)) for entry in about)
        table.add_row(_arm(row), *facts, *(_cell(board, row, column, share) for column in columns))
    return table


def _arm(row: Row) -> Text:
    text = Text(printable(row.name), style="bold cyan" if row.baseline else "")
    role = "baseline" if row.baseline else "control" if row.control else ""
    epochs = "unknown epochs" if row.epochs is None else f"{row.epochs} ep"
    cost = f"{epochs}, {seconds_words(row.pretrain_seconds)}" if row.pretrain_seconds else ""
    for words in (role, cost):
        if words:
            text.append(f"\n{words}", style="not bold dim")
    return text


def _cell(board: Board, row: Row, column: Column, width: int) -> Text:
    cell = board.cell(row, column)
    if cell is None:
        return Text(MISSING, style="dim")
    mean = score(cell.summary.mean, column)
    text = Text(mean, style="bold green" if cell.best else "")
    if words := spread(cell, column):
        fits = len(mean) + 1 + len(words) <= width
        text.append(f" {words}" if fits else f"\n{words}", style="not bold dim")
    text.append(f"\n{count(cell.summary)}", style="not bold dim")
    if cell.delta is not None:
        style = "not bold dim"
        if cell.delta.separable:
            style = "not bold green" if cell.delta.better else "not bold red"
        words = delta_words(cell.delta, column)
        text.append(f"\n{words if len(words) <= width else signed(cell.delta.value, column)}", style=style)
    return text
