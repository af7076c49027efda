"""`mmbench leaderboard`: build the board, show it, rank; its other commands are listed at the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from mmbench.cli import options
from mmbench.cli.next_step import next_step
from mmbench.cli.options import ListOption
from mmbench.cli.paths import Place
from mmbench.errors import unknown_name
from mmbench.file_names import counted
from mmbench.leaderboard.changes.command import diff
from mmbench.leaderboard.export.command import export
from mmbench.leaderboard.verify.command import add, verify
from mmbench.writable import require_writable

TITLE = "mmbench leaderboard"
RESULTS = click.argument("results", type=Place(), nargs=-1, required=True)
BASELINE = click.option("--baseline", help="Row that the others are compared with, such as mscn.")
WHERE = click.option(
    "--where",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Take only these records, such as arch=resnet50 or arm!=random; repeat it for several conditions.",
)
COLUMNS = click.option(
    "--columns",
    cls=ListOption,
    whole=True,
    help="Columns to show, in this order: tasks, headings, protocols or metrics; * stands for any letters.",
)
SKIP_INVALID = click.option(
    "--skip-invalid", is_flag=True, help="Leave out files that are not records; the board says which."
)
TITLE_OPTION = click.option("--title", default=TITLE, show_default=True, help="Heading of the board.")


class Commands(click.Group):
    """A group whose error about an unknown command suggests a near match."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return a command by its name."""
        command = super().get_command(ctx, cmd_name)
        if command is None:
            raise unknown_name("command of mmbench leaderboard", cmd_name, self.commands)
        return command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which a new user needs them."""
        return list(self.commands)


@click.group(cls=Commands)
def leaderboard() -> None:
    """Turn result records into a leaderboard."""


@leaderboard.command(epilog="Example: mmbench leaderboard show demo/results --baseline mscn")
@RESULTS
@BASELINE
@WHERE
@COLUMNS
@SKIP_INVALID
@TITLE_OPTION
def show(results: tuple[Path, ...], baseline: str | None, **choices: Any) -> None:
    """Print the board of the records below RESULTS."""
    from rich.console import Console

    from mmbench.leaderboard.build import read_board
    from mmbench.leaderboard.render.terminal import print_board

    print_board(read_board(results, baseline, published=False, **choices), Console())
    next_step("leaderboard", "build", *results, "--out", "board", *_again(baseline, choices))


@leaderboard.command(epilog="Example: mmbench leaderboard build demo/results --out board --baseline mscn")
@RESULTS
@options.out(required=True, help="Folder of the board, which is replaced as a whole.")
@BASELINE
@WHERE
@COLUMNS
@click.option(
    "--published/--no-published",
    default=True,
    show_default=True,
    help="Show published numbers beside the measured ones.",
)
@click.option(
    "--latex",
    type=click.Choice(("wide", "tasks")),
    default="wide",
    show_default=True,
    help="LaTeX tables of the whole width, or for each task tables of one column.",
)
@SKIP_INVALID
@TITLE_OPTION
def build(results: tuple[Path, ...], out: Path, baseline: str | None, **choices: Any) -> None:
    """Write the board of the records below RESULTS: page, Markdown, LaTeX, CSV and plots."""
    from mmbench.leaderboard import build as stage

    require_writable(out, "--out")
    board = stage.build(results, out, baseline, **choices)
    size = f"{counted(len(board.rows), 'row')} in {counted(len(board.columns), 'column')}"
    click.echo(f"{size} from {counted(board.records, 'record')}: {out / 'index.html'}")
    click.echo(f"next: open {out / 'index.html'} in a browser", err=True)


@leaderboard.command(epilog="Example: mmbench leaderboard rank demo/results --where arch=mixmask_resnet8")
@RESULTS
@WHERE
@COLUMNS
@SKIP_INVALID
def rank(results: tuple[Path, ...], **choices: Any) -> None:
    """Print the ranking alone: mean ranks, their intervals, and over which columns they are."""
    from rich.console import Console

    from mmbench.leaderboard.build import read_board
    from mmbench.leaderboard.rank import print_ranking

    print_ranking(read_board(results, published=False, **choices), Console())
    next_step("leaderboard", "show", *results, *_again(None, choices))


def _again(baseline: str | None, choices: dict[str, Any]) -> tuple[str, ...]:
    """Return the options that choose the same board again."""
    words: tuple[str, ...] = () if baseline is None else ("--baseline", baseline)
    for condition in choices["where"]:
        words += ("--where", condition)
    columns: Sequence[str] = choices["columns"]
    words += ("--columns", ",".join(columns)) if columns else ()
    return (*words, "--skip-invalid") if choices["skip_invalid"] else words


for _command in (diff, verify, add, export):
    leaderboard.add_command(_command)
