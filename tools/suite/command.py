"""`mmbench suite`: plan, run and report a whole benchmark."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mmbench.cli import options
from mmbench.cli.next_step import next_step
from mmbench.cli.paths import Place
from mmbench.errors import unknown_name
from mmbench.tools.suite.run_command import run
from mmbench.tools.suite.status_command import report, status


class Commands(click.Group):
    """A group whose error about an unknown command suggests a near match."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Return a command by its name."""
        command = super().get_command(ctx, cmd_name)
        if command is None:
            raise unknown_name("command of mmbench suite", cmd_name, self.commands)
        return command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which a new user needs them."""
        return list(self.commands)


@click.group(cls=Commands)
def suite() -> None:
    """Plan and run a whole benchmark: pretrainings, transfers and the leaderboard.

    SUITE is the name of a shipped suite, a YAML file, or the folder of a suite that was begun.
    """


@suite.command(epilog="Example: mmbench suite plan demo")
@click.argument("spec", metavar="SUITE")
@options.out(default=None, help="Folder of the suite. Default: the suite's name.")
@click.option(
    "--results",
    "records",
    multiple=True,
    type=Place(),
    help="Folder of earlier records, for the estimate of the time; may be given again.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def plan(spec: str, out: Path | None, records: tuple[Path, ...], as_json: bool) -> None:
    """Print what a suite runs, what of it is done, how long the rest takes and what is missing.

    Nothing is started or written.
    """
    from mmbench.tools.suite.held import suite_and_folder
    from mmbench.tools.suite.planning import overview

    found = overview.overview(*suite_and_folder(spec, out), records)
    if as_json:
        click.echo(json.dumps(overview.as_json(found)))
        return
    from mmbench.tools.suite.planning.plan_table import print_plan
    from mmbench.tools.suite.planning.requirements import missing

    print_plan(found)
    if not missing(found.findings) and not found.changed:
        where = () if out is None else ("--out", out)
        next_step("suite", "run", spec, *where)


for _command in (run, status, report):
    suite.add_command(_command)
