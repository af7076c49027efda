"""The engine as a whole: order, failures, kills of every process at random moments, two runners at once.

The cells cost nothing (see `cheap_cells`); the processes are real.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from cheap_cells import PERFORM, cell, count, plan

from mmbench.errors import UserError
from mmbench.tools.suite.execution import configuration
from mmbench.tools.suite.execution.driver import run_cells
from mmbench.tools.suite.execution.drivers import VARIABLE
from mmbench.tools.suite.folder import CellState, SuiteFolder

HERE = Path(__file__).parent
PATIENCE = 120.0  # seconds; a machine may be busy


class Seen:
    """An observer that keeps what it is shown."""

    def __init__(self) -> None:
        self.states: dict[str, CellState] = {}
        self.history: list[tuple[str, str]] = []
        self.ends: set[tuple[str, float]] = set()  # name and time
        self.lines: list[str] = []
        self.when: list[float] = []

    def update(self, states: Mapping[str, CellState]) -> None:
        self.states.update(states)
        self.history += [(state.name, state.status) for state in states.values()]
        self.ends |= {(one.name, one.changed) for one in states.values() if one.status in ("done", "failed")}
        self.when.append(time.monotonic())

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(autouse=True)
def importable_cells(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let workers import the cheap cells; a run leaves the environment of its own process as it was."""
    paths = [str(HERE), str(HERE.parents[2]), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in paths if path))
    before = ours()
    yield
    assert ours() == before


def ours() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def left_behind(root: Path) -> list[psutil.Process]:
    """Return the living processes that a run of the suite in `root` started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            of_run = process.environ().get(VARIABLE, "").startswith(f"{root}/")
            if of_run and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def wait_until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE} s"
        time.sleep(0.05)


def named(root: Path) -> dict[str, CellState]:
    return {state.name: state for state in SuiteFolder(root).states()}


@contextlib.contextmanager
def runner(root: Path, suite: str) -> Iterator[subprocess.Popen[str]]:
    """Run one of the suites below as a process of its own, in a session of its own."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / "run_cheap_cells.py"), str(root), suite],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output
    return output


def test_cells_run_in_the_order_of_their_dependencies_and_one_that_fails_does_not_stop_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configuration, "BEAT_SECONDS", 1)  # a dead worker is noticed at the next beat
    root = tmp_path / "a suite's folder"  # blanks and quotes
    first, second = cell("first", "sleep-0.6"), cell("second", "fail")
    third = cell("third", after=(first,))
    cells = [first, second, third, cell("fourth", after=(second,)), cell("fifth", after=(second, third))]
    cells += [cell("dies", "die"), cell("dies-once", "once"), cell("last", "sleep-0", seconds=0)]
    seen, folder = Seen(), SuiteFolder(root)
    run_cells(plan(cells, retries=1), folder, observer=seen, perform=PERFORM)

    states = named(root)
    assert {name: state.status for name, state in states.items()} == {
        "first": "done",
        "second": "failed",
        "third": "done",
        "dies": "failed",
        "dies-once": "done",
        "last": "done",
    }
    assert states["second"].error == "second cannot be done; do something else"
    assert "killed 2 times" in states["dies"].error
    assert states["dies-once"].attempt == 2
    assert count(root, "completed") == {"first": 1, "third": 1, "dies-once": 1, "last": 1}
    assert count(root, "begun")["dies"] == 2  # one retry
    assert sorted(seen.lines) == ["2 cells not run: second failed"]
    assert {name for name, status in seen.history if status == "done"} == {
        "first",
        "third",
        "dies-once",
        "last",
    }
    assert ("first", "running") in seen.history
    log = folder.log(first.id).read_text()
    assert "attempt 1 at first" in log
    assert "printed by first" in log
    assert "Traceback" in folder.log(second.id).read_text()
    assert not list(folder.cells.glob("*.lock"))
    assert not list(folder.drivers.glob("*"))
    assert left_behind(root) == []

    # Nothing is begun again that is done, and the failed cells are tried again.
    run_cells(plan([first, third], retries=1), folder, observer=seen, perform=PERFORM)
    assert count(root, "begun")["first"] == 1

    # Where every cell is looked at again, each ends once: what the runs before left is no news.
    again = Seen()
    run_cells(plan([first, third], retries=1), folder, only="all", observer=again, perform=PERFORM)
    assert sorted(name for name, _ in again.ends) == ["first", "third"]


def test_a_stopped_run_saves_and_goes_on_by_the_same_command(tmp_path: Path) -> None:
    """By either signal: two suites at a time, since most of a start is waiting."""
    roots = {number: tmp_path / number.name for number in (signal.SIGTERM, signal.SIGINT)}
    with contextlib.ExitStack() as both:
        started = {number: both.enter_context(runner(root, "gates")) for number, root in roots.items()}
        wait_until(lambda: all(len(count(root, "begun")) == 2 for root in roots.values()), "cells at work")
        time.sleep(0.3)
        for number, process in started.items():
            process.send_signal(number)
        assert all("interrupted" in finish(process) for process in started.values())
    for root in roots.values():
        assert left_behind(root) == []
        states = named(root)
        assert {name: state.status for name, state in states.items()} == {"one": "stopped", "two": "stopped"}
        assert all((root / "runs" / f"{name}.steps").exists() for name in states)
        (root / "go").touch()
    with contextlib.ExitStack() as both:
        for process in [both.enter_context(runner(root, "gates")) for root in roots.values()]:
            finish(process)
    for root in roots.values():
        assert_all_done_once(root)


def test_kills_at_random_moments_and_the_same_command(tmp_path: Path) -> None:
    """The driver, the interchange, the pool and its processes are killed; every cell is done once."""
    draw = random.Random(15)
    begun = 0

    def wait_for(more: int) -> None:
        nonlocal begun
        wait_until(lambda: sum(count(tmp_path, "begun").values()) >= begun + more, "cells at work")
        time.sleep(draw.random())
        begun = sum(count(tmp_path, "begun").values())

    with runner(tmp_path, "gates") as process:
        wait_for(2)
        process.kill()
        # Nothing may go on living, without any help from a next run.
        wait_until(lambda: not left_behind(tmp_path), "the end of everything that a killed driver started")
    with runner(tmp_path, "gates") as process:
        for part in ("interchange", "process_worker_pool", "spawn_main"):
            wait_for(2)
            victims = [one for one in left_behind(tmp_path) if part in " ".join(one.cmdline()[:5])]
            draw.choice(sorted(victims, key=lambda one: one.pid)).kill()
        wait_for(1)
        (tmp_path / "go").touch()
        finish(process)
    assert_all_done_once(tmp_path)


def assert_all_done_once(root: Path) -> None:
    names = {"one", "two", "one-a", "one-b", "two-a", "two-b"}
    assert count(root, "completed") == dict.fromkeys(names, 1)
    assert {name: state.status for name, state in named(root).items()} == dict.fromkeys(names, "done")
    assert left_behind(root) == []
    assert not list((root / "cells").glob("*.lock"))


def test_two_runners_share_the_cells(tmp_path: Path) -> None:
    def pids() -> set[int]:
        return {state.pid for state in named(tmp_path).values()}

    with runner(tmp_path, "many") as one, runner(tmp_path, "many") as other:
        wait_until(lambda: len(pids()) > 2, "cells that wait, in workers of both")
        (tmp_path / "go").touch()
        finish(one)
        finish(other)
    assert count(tmp_path, "begun") == {f"cell{number}": 1 for number in range(12)}
    assert {state.status for state in named(tmp_path).values()} == {"done"}
    assert left_behind(tmp_path) == []


def test_an_engine_that_does_not_start_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(config: object) -> None:
        raise Exception("Interchange failed to start")  # as Parsl on a machine that is too busy

    monkeypatch.setattr("parsl.dataflow.dflow.DataFlowKernel", fail)
    with pytest.raises(
        UserError, match=r"cannot be started \(.*failed to start\); see .*logs/parsl"
    ) as error:
        run_cells(plan([cell("one")]), SuiteFolder(tmp_path), observer=Seen(), perform=PERFORM)
    assert "\n" not in str(error.value)
    assert left_behind(tmp_path) == [] and not list(SuiteFolder(tmp_path).drivers.glob("*"))
