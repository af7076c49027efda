"""`mmbench suite run`: run what is not done of a suite, then build its board."""

from __future__ import annotations

from pathlib import Path

import click

from mmbench.cli import options
from mmbench.cli.values import WholeNumber
from mmbench.settings.types import MOST_WORKERS
from mmbench.tools.suite.definition.suite import Suite


def changed(suite: Suite, workers: int | None, executor: str | None) -> Suite:
    """Return a suite that runs on other workers; None leaves what it states."""
    values = {"workers": workers, "executor": executor}
    given = {name: value for name, value in values.items() if value is not None}
    return suite.model_copy(update={"run": suite.run.model_copy(update=given)})


@click.command(epilog="Example: mmbench suite run demo --out demo")
@click.argument("spec", metavar="SUITE")
@options.out(help="Folder of the suite. Default: the suite's name.")
@click.option(
    "--only",
    type=click.Choice(["missing", "failed", "all"]),
    default="missing",
    show_default=True,
    help="What to run: what is not done; the failed cells and what waits for them; or to look at every cell "
    "again, which reuses the records that are there.",
)
@click.option("--fail-fast", is_flag=True, help="Stop at the first cell that fails.")
@click.option("--workers", type=WholeNumber(1, MOST_WORKERS), help="Cells at a time, on this machine.")
@click.option("--executor", help="local, slurm, or a Parsl configuration file (*.py).")
def run(
    spec: str,
    out: Path | None,
    only: str,
    fail_fast: bool,
    workers: int | None,
    executor: str | None,
) -> int:
    """Run what is not done of a suite, then build its board.

    SUITE is a shipped name, a YAML file, or the folder of a suite that was begun. An interrupted run goes
    on with the same command. A failed cell does not stop the others. The exit code is 0 if every cell of the
    suite is done, 1 if some are not, and 2 if the run cannot start.
    """
    from rich.console import Console

    from mmbench.tools.suite.held import suite_and_folder
    from mmbench.tools.suite.run import exit_code, run_suite

    suite, folder = suite_and_folder(spec, out)
    suite = changed(suite, workers, executor)
    end = run_suite(suite, folder, only=only, fail_fast=fail_fast, console=Console())  # type: ignore[arg-type]
    return exit_code(end)
