"""Board to the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmbench.leaderboard.board import Board, Column, Row
from mmbench.leaderboard.render.wording import (
    MISSING,
    count,
    delta_words,
    metric_words,
    rank_words,
    score,
    seconds_words,
    signed,
    spread,
)

ARM_WIDTH = 24  # characters that the first two columns take
WIDE, NARROW = 24, 13  # characters per column: room for an interval; no room for mean and spread in a line


def print_board(board: Board, console: Console) -> None:
    """Print the measured rows, their differences to the baseline, and the caveats."""
    share = (console.width - ARM_WIDTH) // len(board.columns)
    table = Table(title=board.title, title_justify="left", pad_edge=False, show_lines=True)
    table.add_column("arm", no_wrap=True)
    table.add_column("rank", justify="right", no_wrap=True)
    for column in board.columns:
        table.add_column(f"{column.label}\n{metric_words(column)}", justify="right")
    for row in board.rows:
        table.add_row(
            _arm(row), rank_words(row), *(_cell(board, row, column, share) for column in board.columns)
        )
    console.print(table)
    legend = "mean ± sample std over n runs; best mean bold"
    if board.baseline is not None:
        legend += (
            f"; below it the difference to {board.baseline}, coloured where its 95% interval excludes zero"
        )
    console.print(Text(legend, style="dim"))
    for note in board.footnotes:
        console.print(Text(f"* {note}"))


def _arm(row: Row) -> Text:
    text = Text(row.name, style="bold cyan" if row.baseline else "")
    role = "baseline" if row.baseline else "control" if row.control else ""
    cost = f"{row.epochs} ep, {seconds_words(row.pretrain_seconds)}" if row.pretrain_seconds else ""
    for words in (role, cost):
        if words:
            text.append(f"\n{words}", style="not bold dim")
    return text


def _cell(board: Board, row: Row, column: Column, width: int) -> Text:
    cell = board.cell(row, column)
    if cell is None:
        return Text(MISSING, style="dim")
    text = Text(score(cell.summary.mean, column), style="bold green" if cell.best else "")
    if words := spread(cell, column):
        text.append(f"\n{words}" if width < NARROW else f" {words}", style="not bold dim")
    text.append(f"\n{count(cell.summary)}", style="not bold dim")
    if cell.delta is not None:
        style = "not bold dim"
        if cell.delta.separable:
            style = "not bold green" if cell.delta.better else "not bold red"
        words = delta_words(cell.delta, column) if width >= WIDE else signed(cell.delta.value, column)
        text.append(f"\n{words}", style=style)
    return text
