"""`mmbench leaderboard diff`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mmbench.cli.paths import Place
from mmbench.errors import one_line
from mmbench.file_names import counted

if TYPE_CHECKING:
    from mmbench.leaderboard.changes.compare import CellChange

DIFFERENT = 1  # exit code


@click.command(epilog="Example: mmbench leaderboard diff board-before board")
@click.argument("before", type=Place())
@click.argument("after", type=Place())
@click.option("--baseline", help="Row that others are compared with, where a board is made from records.")
def diff(before: Path, after: Path, baseline: str | None) -> None:
    """Show what changed from one board to another, and whether it matters.

    BEFORE and AFTER are folders of boards, files board.json, or folders of records. A change of a cell is
    "beyond chance" if its runs differ so after Holm's correction over the changed cells. All numbers of the
    boards are compared. The exit code is 0 if the boards are equal, 1 if they differ, 2 for bad input.
    """
    from mmbench.leaderboard.changes.compare import compare
    from mmbench.leaderboard.changes.snapshot import read_snapshot

    changes = compare(read_snapshot(before, baseline), read_snapshot(after, baseline))
    if not changes:
        click.echo("equal: rows, columns, runs, numbers, settings and versions")
        return
    for heading, lines in (
        ("What the boards say differently", changes.conclusions),
        ("Values", [_words(change) for change in changes.cells]),
        ("Other numbers", changes.numbers),
        ("Rows, columns, settings, versions", changes.facts),
    ):
        if lines:
            click.echo(f"{heading}:")
        for line in lines:
            click.echo(one_line(f"  {line}"))
    others = len(changes.numbers) + len(changes.facts)
    beyond = sum(change.beyond_chance is True for change in changes.cells)
    click.echo(
        f"{counted(len(changes.conclusions), 'conclusion')} and {counted(len(changes.cells), 'cell')} "
        f"changed, {beyond} beyond chance; {counted(others, 'other change')}"
    )
    click.get_current_context().exit(DIFFERENT)


def _words(change: CellChange) -> str:
    """Return one changed cell in words."""
    from mmbench.formatting import difference
    from mmbench.leaderboard.changes.everything import column_words
    from mmbench.leaderboard.changes.wording import change_words, difference_decimals

    runs = f"n {change.n[0]} -> {change.n[1]}, {change.added} added, {change.removed} removed"
    judged = {True: "beyond chance", False: "within noise", None: f"cannot be judged ({change.reason})"}
    words = judged[change.beyond_chance]
    if change.difference is not None and change.interval is not None:
        decimals = difference_decimals([change.difference], change.unit)
        values = (change.difference, *change.interval)
        found, low, high = (difference(value, change.unit, decimals) for value in values)
        words += f": {change.basis} {found} [{low}, {high}]"
    means = change_words(change.before, change.after, "mean", change.unit)
    return f"{change.row} in {column_words(change.column)}: {means} ({runs}): {words}"
