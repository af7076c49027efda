"""Running a suite in its folder, from the check of what the machine lacks to the board."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from rich.console import Console

from mmbench.cli.next_step import next_step
from mmbench.errors import UserError
from mmbench.file_names import counted
from mmbench.records.files import record_files
from mmbench.tools.suite.definition.suite import Suite
from mmbench.tools.suite.display import SuiteDisplay
from mmbench.tools.suite.execution.driver import Only, run_cells
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.held import hold
from mmbench.tools.suite.planning.overview import overview
from mmbench.tools.suite.planning.plan import Plan, found_states
from mmbench.tools.suite.planning.requirements import require, requirements
from mmbench.tools.suite.snapshot import Snapshot, snapshot
from mmbench.tools.suite.unchanged import require_same_data
from mmbench.writable import require_writable

MOST_NAMES = 10  # in a list of cells or records
UNFINISHED = 1  # exit code: some cells are not done


def run_suite(
    suite: Suite,
    folder: SuiteFolder,
    *,
    only: Only = "missing",
    fail_fast: bool = False,
    console: Console,
) -> Snapshot:
    """Run what is not done of a suite and build its board; return how far it is then.

    Raises:
        UserError: the folder cannot be used or holds another suite, the machine lacks something, or the
            engine cannot be started.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the same call goes on.
    """
    require_writable(folder.root, "--out")
    found = overview(suite, folder)
    plan = found.plan
    require(requirements(plan, folder, found.workers) if only == "all" else found.findings)
    states = found.states
    for line in found.changed:
        raise UserError(line)
    require_same_data(plan.cells, states, folder, suite.data_root or folder.data)
    grown = hold(plan, folder)
    workers = counted(found.workers, "worker")
    _say(
        console,
        f"{suite.name}: {len(plan.cells)} cells on {workers} in {folder.root}/ "
        "(the same command continues it after an interruption)",
    )
    for line in (*([grown] if grown else []), *plan.notes):
        _say(console, line)
    started = time.monotonic()
    if len(found.done) == len(plan.cells) and only != "all":
        _say(console, f"all {len(plan.cells)} cells are done already")
    shown = {} if only == "all" else states
    with SuiteDisplay(plan, folder, shown, workers=found.workers, console=console) as display:
        run_cells(plan, folder, only=only, fail_fast=fail_fast, observer=display, states=states)
    states = found_states(plan, folder)
    now = snapshot(plan, states, folder, workers=found.workers)
    print_problems(now, console)
    built = any(True for _ in record_files(folder.results))
    page = build_board(suite, folder, console) if built else "none, as nothing is measured yet"
    for line in foreign_lines(plan, states, folder):
        _say(console, line)
    _say(console, f"measured in {(time.monotonic() - started) / 60:.1f} min; the board: {page}")
    if now.number("done") == now.number():
        next_step("results", "list", folder.results)
    else:
        _say(console, f"{now.number('done')} of {now.number()} cells are done")
        next_step("suite", "run", folder.root)
    return now


def exit_code(end: Snapshot) -> int:
    """Return the exit code of a run: 0 only if every cell of the suite is done."""
    return 0 if end.number("done") == end.number() else UNFINISHED


def build_board(suite: Suite, folder: SuiteFolder, console: Console) -> Path:
    """Build the board of the records in a suite's folder, print it, and return its page.

    Raises:
        UserError: there are no records, or they do not compare.
    """
    from mmbench.leaderboard.build import TITLE, build, read_frame
    from mmbench.leaderboard.render.terminal import print_board

    baseline = suite.baseline
    if baseline is not None:
        frame = read_frame(folder.results)
        rows = sorted(set(frame["row"][frame["arm"] == baseline]))
        if baseline not in rows:
            several = f"the baseline {baseline} has several rows ({', '.join(rows)}), as its weights differ"
            none = f"nothing of the baseline {baseline} is measured yet"
            _say(console, f"{several if rows else none}, so the board has no differences")
            baseline = None
    board = build(folder.results, folder.board, baseline, title=suite.title or TITLE)
    print_board(board, console)
    return folder.board / "index.html"


def print_problems(now: Snapshot, console: Console) -> None:
    """Print the cells that failed, with error and log, and those that wait for them."""
    for failed in now.failed:
        _say(console, f"FAILED {failed.name}: {failed.error} (log: {failed.log})")
    for cause in dict.fromkeys(cell.failed for cell in now.blocked):
        names = [cell.name for cell in now.blocked if cell.failed == cause]
        _say(console, f"blocked by {cause}: {named(names)}")


def foreign_lines(plan: Plan, states: Mapping[str, CellState], folder: SuiteFolder) -> Iterator[str]:
    """Yield a line on the records in a suite's folder that no cell of its plan left, if there are any."""
    ours = {folder.root / states[cell.id].left for cell in plan.cells if cell.id in states}
    paths = (path for path, problem in record_files(folder.results) if problem is None)
    if foreign := [str(path.relative_to(folder.root)) for path in paths if path not in ours]:
        yield f"records that no cell of this suite left, shown too: {named(foreign)}"


def named(names: Iterable[str]) -> str:
    """Return the number of some names and the first of them.

    >>> named(["a", "b"])
    '2 (a, b)'
    """
    names = list(names)
    more = f", and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f"{len(names)} ({', '.join(names[:MOST_NAMES])}{more})"


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
