"""`mmbench suite status` and `report`: how far a suite is, and its board, from the files in its folder."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from mmbench.cli import options
from mmbench.cli.next_step import next_step

if TYPE_CHECKING:
    from rich.console import Console

    from mmbench.tools.suite.folder import CellState, SuiteFolder
    from mmbench.tools.suite.planning.plan import Plan
    from mmbench.tools.suite.snapshot import Snapshot

WATCH_SECONDS = 1.0
SUITE_OR_FOLDER = click.argument("spec", metavar="SUITE|FOLDER")


@click.command(epilog="Example: mmbench suite status demo")
@SUITE_OR_FOLDER
@options.as_json()
@click.option("--watch", is_flag=True, help="Show the progress until nothing runs any more.")
def status(spec: str, as_json: bool, watch: bool) -> None:
    """Print how far a suite is, wherever it runs: done, running and failed cells, and the time left."""
    from rich.console import Console

    from mmbench.tools.suite.execution.drivers import living
    from mmbench.tools.suite.held import begun
    from mmbench.tools.suite.planning.overview import workers_of
    from mmbench.tools.suite.planning.plan import found_states, plan_of
    from mmbench.tools.suite.snapshot import left_alone, snapshot

    suite, folder, remark = begun(spec)
    plan, workers = plan_of(suite), workers_of(suite)
    states = found_states(plan, folder)
    if watch:
        _watch(plan, folder, states, workers)
        states = found_states(plan, folder)
    now = snapshot(plan, states, folder, workers=workers, gone=left_alone(states, folder))
    runners = len(living(folder))
    if as_json:
        facts = {"suite": suite.name, "folder": str(folder.root), "differs": remark, "runners": runners}
        facts |= now.as_json()
        click.echo(json.dumps(facts, indent=2))
        return
    console = Console()
    _print(now, suite.name, folder, runners, console)
    if remark:
        _say(console, remark)
    if not runners and now.number("waiting", "interrupted"):
        next_step("suite", "run", folder.root)


def _watch(plan: Plan, folder: SuiteFolder, states: dict[str, CellState], workers: int) -> None:
    """Show what changes until no process runs the suite."""
    from rich.console import Console

    from mmbench.tools.suite.display import SuiteDisplay
    from mmbench.tools.suite.execution.drivers import living
    from mmbench.tools.suite.snapshot import left_alone

    with SuiteDisplay(plan, folder, states, workers=workers, console=Console()) as display:
        seen: dict[str, int] = {}
        while True:
            runs = bool(living(folder))
            changed = dict(_changed(folder, seen))
            display.update(changed)
            states |= changed
            running = {id for id, state in states.items() if state.status == "running"}
            if not runs and running <= left_alone(states, folder):
                return
            time.sleep(WATCH_SECONDS)


def _changed(folder: SuiteFolder, seen: dict[str, int]) -> Iterator[tuple[str, CellState]]:
    """Yield the states whose files changed since they were `seen` last (time of change by id)."""
    for path in folder.cells.glob("*.json"):
        try:
            changed = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
        if seen.get(path.stem) != changed and (state := folder.state(path.stem)) is not None:
            seen[path.stem] = changed
            yield path.stem, state


def _print(now: Snapshot, name: str, folder: SuiteFolder, runners: int, console: Console) -> None:
    from rich.table import Table

    from mmbench.tools.suite.run import named, print_problems
    from mmbench.tools.suite.snapshot import STANDINGS

    by = f"run by {runners} process{'es' if runners > 1 else ''}" if runners else "not running"
    left = f", {now.time_left}" if now.number("waiting", "interrupted", "running") else ""
    _say(console, f"{name} in {folder.root}/: {now.number('done')} of {now.number()} cells done, {by}{left}")
    shown = [standing for standing in STANDINGS if now.number(standing)]
    table = Table("", *shown, box=None, pad_edge=False)
    for kind, counts in now.counts.items():
        table.add_row(kind, *(str(counts[standing] or "") for standing in shown))
    console.print(table)
    for cell in now.running:
        _say(
            console,
            f"running {cell.name}: {cell.share:.0%}  {cell.report}  ({cell.seconds:.0f} s on {cell.host})",
        )
    if now.interrupted:
        _say(console, f"interrupted, and will go on: {named(now.interrupted)}")
    print_problems(now, console)


@click.command(epilog="Example: mmbench suite report demo")
@SUITE_OR_FOLDER
def report(spec: str) -> None:
    """Build the board of a suite's records, print it, and say what is missing or not of the suite."""
    from rich.console import Console

    from mmbench.tools.suite.held import begun
    from mmbench.tools.suite.planning.plan import found_states, plan_of
    from mmbench.tools.suite.run import build_board, foreign_lines, named, print_problems
    from mmbench.tools.suite.snapshot import snapshot

    suite, folder, remark = begun(spec)
    plan, console = plan_of(suite), Console()
    states = found_states(plan, folder)
    page = build_board(suite, folder, console)
    now = snapshot(plan, states, folder, workers=1)
    done = {id for id, state in states.items() if state.status == "done"}
    lines = [remark] if remark else []
    if missing := [cell.name for cell in plan.cells if cell.id not in done]:
        lines.append(f"not done: {named(missing)}")
    lines += foreign_lines(plan, states, folder)
    print_problems(now, console)
    for line in (*lines, f"the board: {page}"):
        _say(console, line)
    if missing:
        next_step("suite", "run", folder.root)


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
