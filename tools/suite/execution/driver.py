"""The driver: gives the cells of a plan to workers, each as soon as what it waits for is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from mmbench.file_names import counted
from mmbench.tools.suite.execution.drivers import Driver, stop_what_dead_drivers_left
from mmbench.tools.suite.execution.executor import prune_logs
from mmbench.tools.suite.execution.running import Observer, Running
from mmbench.tools.suite.execution.work import Place
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.planning.plan import Plan, done_cells, found_states
from mmbench.tools.suite.planning.schedule import Schedule

__all__ = ["Observer", "Only", "run_cells"]

Only = Literal["missing", "failed", "all"]


def run_cells(
    plan: Plan,
    folder: SuiteFolder,
    *,
    only: Only = "missing",
    fail_fast: bool = False,
    observer: Observer,
    perform: str | None = None,
    states: Mapping[str, CellState] | None = None,
) -> None:
    """Run the cells of a plan; afterwards the states of the folder tell what failed.

    Args:
        only: "missing" runs what is not done, "failed" the failed cells and those that wait for them, "all"
            looks at every cell again and reuses what is there.
        fail_fast: stop at the first cell that fails.
        observer: is shown what changes.
        perform: see `Place`; another one for benchmarks and tests.
        states: of the cells that were begun, by id; None reads them.

    Raises:
        UserError: the engine cannot be started, or is lost again and again.
        KeyboardInterrupt: Ctrl-C or SIGTERM; trainings are saved, and the same call goes on.
    """
    folder = SuiteFolder(folder.root.absolute())
    stop_what_dead_drivers_left(folder, observer.say)
    states = found_states(plan, folder) if states is None else states
    done = frozenset() if only == "all" else done_cells(states)
    schedule = Schedule(plan.cells, _chosen(plan, states, only, done), done)
    if not schedule.left:
        return
    place = Place(
        folder.root,
        (plan.suite.data_root or folder.data).absolute(),
        plan.suite.run,
        again=only == "all",
    )
    if perform is not None:
        place = place._replace(perform=perform)
    prune_logs(folder)
    driver = Driver(folder)
    try:
        run = Running(plan.suite.run, folder, place, schedule, driver, observer)
        run.until_done(fail_fast)
    finally:
        driver.close()
    _say_what_waits(schedule, folder, observer)


def _chosen(plan: Plan, states: Mapping[str, CellState], only: Only, done: frozenset[str]) -> set[str]:
    """Return the ids of the cells that are to be run."""
    missing = {cell.id for cell in plan.cells} - done
    if only != "failed":
        return missing
    failed: set[str] = set()
    for cell in plan.cells:
        if cell.id in missing:
            state = states.get(cell.id)
            if (state is not None and state.status == "failed") or failed.intersection(cell.after):
                failed.add(cell.id)
    return failed


def _say_what_waits(schedule: Schedule, folder: SuiteFolder, observer: Observer) -> None:
    """Say which cells were not run because what they wait for is not done."""
    others = schedule.left
    for id, cells in schedule.blocked().items():
        waited_for, state = schedule.cell(id), folder.state(id)
        if waited_for is not None and state is not None and state.status == "failed":
            observer.say(f"{counted(len(cells), 'cell')} not run: {waited_for.name} failed")
            others -= len(cells)
    others -= sum(state is not None and state.status == "failed" for state in schedule.states(folder))
    if others:
        observer.say(f"{counted(others, 'cell')} more not run")
