"""`mmbench suite`: plan, run and report a whole benchmark."""

from __future__ import annotations

import click

from mmbench.tools.suite.plan import plan_of
from mmbench.tools.suite.suite_file import read_suite


@click.group()
def suite() -> None:
    """Plan and run a whole benchmark: pretrainings, transfers and the leaderboard.

    SUITE is the name of a shipped suite or a YAML file.
    """


@suite.command(epilog="Example: mmbench suite plan demo")
@click.argument("spec", metavar="SUITE")
def plan(spec: str) -> None:
    """Print what a suite runs."""
    found = plan_of(read_suite(spec))
    click.echo(f"suite {found.suite.name}: {len(found.cells)} cells")
