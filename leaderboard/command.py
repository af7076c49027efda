"""`mmbench leaderboard`: build the board, or show it on the terminal."""

from __future__ import annotations

from pathlib import Path

import click

from mmbench.cli import options
from mmbench.cli.next_step import next_step
from mmbench.leaderboard.verify.command import add, verify
from mmbench.writable import require_writable

TITLE = "mmbench leaderboard"
RESULTS = click.argument("results", type=click.Path(path_type=Path))
BASELINE = click.option("--baseline", help="Arm that the others are compared with, such as mscn.")
SKIP_INVALID = click.option(
    "--skip-invalid", is_flag=True, help="Leave out files that are not records; the board says which."
)
TITLE_OPTION = click.option("--title", default=TITLE, show_default=True, help="Heading of the board.")


@click.group()
def leaderboard() -> None:
    """Turn result records into a leaderboard."""


@leaderboard.command(epilog="Example: mmbench leaderboard build demo/results --out board --baseline mscn")
@RESULTS
@options.out(required=True, help="Folder of the board, which is replaced as a whole.")
@BASELINE
@click.option(
    "--published/--no-published",
    default=True,
    show_default=True,
    help="Show published numbers beside the measured ones.",
)
@SKIP_INVALID
@TITLE_OPTION
def build(
    results: Path, out: Path, baseline: str | None, published: bool, skip_invalid: bool, title: str
) -> None:
    """Write the board of the records below RESULTS: page, Markdown, LaTeX, CSV and plots."""
    from mmbench.leaderboard import build as stage

    require_writable(out, "--out")
    board = stage.build(results, out, baseline, published=published, title=title, skip_invalid=skip_invalid)
    size = f"{len(board.rows)} arms in {len(board.columns)} columns"
    click.echo(f"{size} from {board.records} records: {out / 'index.html'}")
    click.echo(f"next: open {out / 'index.html'} in a browser", err=True)


@leaderboard.command(epilog="Example: mmbench leaderboard show demo/results --baseline mscn")
@RESULTS
@BASELINE
@SKIP_INVALID
@TITLE_OPTION
def show(results: Path, baseline: str | None, skip_invalid: bool, title: str) -> None:
    """Print the board of the records below RESULTS."""
    from rich.console import Console

    from mmbench.leaderboard.build import read_board
    from mmbench.leaderboard.render.terminal import print_board

    board = read_board(results, baseline, published=False, title=title, skip_invalid=skip_invalid)
    print_board(board, Console())
    next_step("leaderboard", "build", results, "--out", "board", *_baseline(baseline))


def _baseline(baseline: str | None) -> tuple[str, ...]:
    return () if baseline is None else ("--baseline", baseline)


leaderboard.add_command(verify)
leaderboard.add_command(add)
