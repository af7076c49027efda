"""The ranking alone: mean ranks with their intervals, and over which columns."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmbench.leaderboard.board import Board
from mmbench.leaderboard.render.layout import row_columns
from mmbench.leaderboard.render.wording import MISSING


def print_ranking(board: Board, console: Console) -> None:
    """Print a line per row, in the order of the board, and the columns that the ranks are over."""
    columns = row_columns(board, "scores")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "arm", *(column.heading for column in columns)):
        table.add_column(heading, justify="left" if heading == "arm" else "right", overflow="fold")
    places = {row.name: str(place) for place, row in enumerate((row for row in board.rows if row.ranked), 1)}
    for row in board.rows:
        role = " (baseline)" if row.baseline else " (control)" if row.control else ""
        words = [places.get(row.name, MISSING), row.name + role, *(column.words(row) for column in columns)]
        table.add_row(*map(Text, words))
    console.print(table)
    if board.ranking.words:
        console.print(Text(board.ranking.words))
    labels = [column.label for column in board.columns if column.key in board.ranking.columns]
    if labels:
        console.print(Text(f"Columns of the ranking: {', '.join(labels)}."))
    unranked = len(board.rows) - len(places)
    if unranked and labels:
        console.print(Text(f"{unranked} of {len(board.rows)} rows lack one of them and are not ranked."))
