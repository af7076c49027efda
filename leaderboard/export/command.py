"""`mmbench leaderboard export`: to model cards of the Hub, to Weights & Biases, to MLflow."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from mmbench.cli import options
from mmbench.cli.paths import Place
from mmbench.errors import one_line
from mmbench.file_names import counted, printable
from mmbench.writable import require_writable

PROJECT = click.option(
    "--project",
    default="mmbench",
    show_default=True,
    help="Project or experiment; for wandb also ENTITY/NAME.",
)


def _chosen(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose records."""
    where = click.option("--where", multiple=True, metavar="FIELD=VALUE", help="Take only these records.")
    skip = click.option("--skip-invalid", is_flag=True, help="Leave out files that are not records.")
    results = click.argument("results", type=Place(), nargs=-1, required=True)
    return results(where(skip(command)))


@click.group()
def export() -> None:
    """Write results in the formats of other tools. Nothing is sent anywhere."""


@export.command(epilog="Example: mmbench leaderboard export hub demo/results --row mixmask --out card")
@_chosen
@click.option("--row", required=True, help="Row of the board, such as mixmask.")
@options.out(required=True, help="Folder that README.md is written into.")
def hub(results: tuple[Path, ...], row: str, out: Path, **choices: Any) -> None:
    """Write a row as a model card of the Hugging Face Hub, with the results as its model index.

    A row of several pretrainings gives their mean; --where pretrain_seed=0 takes those of one.
    """
    from mmbench.leaderboard.build import read_frame
    from mmbench.leaderboard.export.hub import write_model_card
    from mmbench.leaderboard.facts import notes_of_reading
    from mmbench.leaderboard.table import make_board

    require_writable(out, "--out")
    frame = read_frame(results, **choices)
    notes = notes_of_reading(frame)
    click.echo(write_model_card(make_board(frame, None), row, out, notes))
    _print(notes)


@export.command(epilog="Example: mmbench leaderboard export wandb demo/results --out wandb-runs")
@_chosen
@options.out(required=True, help="New folder of the offline runs.")
@PROJECT
def wandb(results: tuple[Path, ...], out: Path, project: str, **choices: Any) -> None:
    """Write every record as an offline run of Weights & Biases, which must be installed."""
    _export("wandb", results, out, project, choices)
    click.echo(one_line(f"next: wandb sync {shlex.quote(str(out))}/wandb/offline-run-*"), err=True)


@export.command(epilog="Example: mmbench leaderboard export mlflow demo/results --out mlruns")
@_chosen
@options.out(required=True, help="New folder of the file store.")
@PROJECT
def mlflow(results: tuple[Path, ...], out: Path, project: str, **choices: Any) -> None:
    """Write every record as a run of an MLflow experiment; MLflow must be installed."""
    _export("mlflow", results, out, project, choices)
    command = f"MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri {shlex.quote(str(out))}"
    click.echo(one_line(f"next: {command}"), err=True)


def _export(tool: str, results: tuple[Path, ...], out: Path, project: str, choices: dict[str, Any]) -> None:
    """Export the chosen records, and print their number and what a reader must know."""
    from mmbench.leaderboard.build import read_frame
    from mmbench.leaderboard.export.tracking import EXPORTS
    from mmbench.leaderboard.facts import notes_of_reading

    require_writable(out, "--out")
    frame = read_frame(results, **choices)
    done = EXPORTS[tool](frame, out, project)
    click.echo(f"{counted(done.runs, 'run')}: {out}")
    _print((*notes_of_reading(frame), *done.notes))


def _print(notes: Iterable[str]) -> None:
    for note in notes:
        click.echo(f"note: {printable(note)}", err=True)
