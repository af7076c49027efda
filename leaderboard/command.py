"""`mmbench leaderboard`: build the board, or show it on the terminal."""

from __future__ import annotations

from pathlib import Path

import click

from mmbench.writable import require_writable

TITLE = "mmbench leaderboard"
RESULTS = click.argument("results", type=click.Path(path_type=Path))
BASELINE = click.option("--baseline", help="Arm that differences refer to, such as mscn. Default: none.")
TITLE_OPTION = click.option("--title", default=TITLE, show_default=True, help="Heading of the board.")


@click.group()
def leaderboard() -> None:
    """Turn result records into a leaderboard."""


@leaderboard.command(epilog="Example: mmbench leaderboard build demo/results --out board --baseline mscn")
@RESULTS
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder of the board; replaced as a whole."
)
@BASELINE
@click.option(
    "--published/--no-published",
    default=True,
    show_default=True,
    help="Published numbers beside the measured.",
)
@TITLE_OPTION
def build(results: Path, out: Path, baseline: str | None, published: bool, title: str) -> None:
    """Write the board of the records below RESULTS: page, Markdown, LaTeX, CSV and plots."""
    from mmbench.leaderboard import build as stage

    require_writable(out, "--out")
    board = stage.build(results, out, baseline, published=published, title=title)
    size = f"{len(board.rows)} arms in {len(board.columns)} columns"
    click.echo(f"{size} from {board.records} records: {out / 'index.html'}")


@leaderboard.command(epilog="Example: mmbench leaderboard show demo/results --baseline mscn")
@RESULTS
@BASELINE
@TITLE_OPTION
def show(results: Path, baseline: str | None, title: str) -> None:
    """Print the board of the records below RESULTS, and write nothing."""
    from rich.console import Console

    from mmbench.leaderboard.build import read_board
    from mmbench.leaderboard.terminal import print_board

    print_board(read_board(results, baseline, published=False, title=title), Console())
