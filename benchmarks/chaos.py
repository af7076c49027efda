"""Disturb a suite at random moments, go on by the same command, and compare with an undisturbed run.

The suite is the demo with 2 epochs and one seed. By turns the driver, a worker, the interchange and a pool
are killed by kill -9, the driver is stopped by SIGTERM, a run folder is deleted, and the disk is filled (only
as root, which can mount a small tmpfs for the folder). In the end the scores must be those of the
undisturbed run; no cell may have run to its end twice, deleted run folders aside; no record may be lost or
doubled; and no process may be left.

Run: python benchmarks/chaos.py FOLDER [--moments 15] [--seed 0] [--tasks knn,linear] [--json PATH]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from mmbench.records.store import ResultStore
from mmbench.tools.suite.definition.suite_file import read_suite
from mmbench.tools.suite.execution.driver import run_cells
from mmbench.tools.suite.execution.drivers import VARIABLE
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.planning.plan import Plan, done_cells, found_states, plan_of

KINDS = ("worker", "driver", "full disk", "interchange", "SIGTERM", "pool", "deleted run folder")
PARTS = {"worker": "spawn_main", "pool": "process_worker_pool", "interchange": "interchange"}
EPOCHS = 2
DISK_MIB = 500
FULL_SECONDS = 15.0  # that the disk stays full
END_SECONDS = 90.0  # for what a driver started to end after it
STARTS = 40  # of the driver at most


class Chosen(NamedTuple):
    """Which part of the demo is run; nothing means all of it."""

    arms: str
    tasks: str

    def plan(self, data: Path) -> Plan:
        """Return the plan; the data lie in a folder of their own, so that they are rendered once."""
        suite = read_suite("demo")
        arms = tuple(
            arm.model_copy(
                update={"pretrain": arm.pretrain and arm.pretrain.model_copy(update={"epochs": EPOCHS})}
            )
            for arm in suite.arms
            if not self.arms or arm.name in self.arms.split(",")
        )
        tasks = tuple(task for task in suite.tasks if not self.tasks or task.task in self.tasks.split(","))
        changes = {"arms": arms, "tasks": tasks, "seeds": (0,), "data_root": data, "baseline": None}
        return plan_of(suite.model_copy(update=changes))


class Lines:
    """An observer that prints what is said and what fails."""

    def update(self, states: Mapping[str, CellState]) -> None:
        """Print failures."""
        for state in states.values():
            if state.status == "failed":
                self.say(f"failed: {state.name}: {state.error}")

    def say(self, line: str) -> None:
        """Print a line."""
        print(f"    {line}", flush=True)


class Trial:
    """A suite's folder, and the driver that works in it."""

    def __init__(self, folder: Path, chosen: Chosen) -> None:
        self.folder, self.plan = SuiteFolder(folder), chosen.plan(folder.parent / "data")
        options = ["--arms", chosen.arms, "--tasks", chosen.tasks]
        self._command = [sys.executable, __file__, "--drive", *options, str(folder)]
        self.starts = 0

    def start(self) -> subprocess.Popen[bytes]:
        """Begin the suite, or go on with it: always the same command."""
        self.starts += 1
        if self.starts > STARTS:
            sys.exit(f"the suite was not done after {STARTS} starts")
        return subprocess.Popen(self._command)

    @property
    def is_done(self) -> bool:
        """Whether every cell is done."""
        return len(done_cells(found_states(self.plan, self.folder))) == len(self.plan.cells)

    def left(self) -> list[psutil.Process]:
        """Return the living processes that a driver started here."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(VARIABLE, "").startswith(f"{self.folder.root}/"):
                    found.append(process)
        return found

    def wait_for_the_end(self) -> int:
        """Return how many processes are left some time after the driver's end."""
        end = time.monotonic() + END_SECONDS
        while (left := self.left()) and time.monotonic() < end:
            time.sleep(0.5)
        return len(left)

    def scores(self) -> list[tuple[tuple[str, str, int], tuple[float, ...]]]:
        """Return arm, protocol, seed and metrics of every record, sorted."""
        return sorted(
            ((one.model.arm, one.protocol, one.seed), tuple(metric.value for metric in one.metrics.values()))
            for one in ResultStore(self.folder.results)
        )

    def ended_twice(self, deleted: set[str]) -> list[str]:
        """Return the cells whose logs say more than once that they were done, deleted ones aside."""
        found = []
        for cell in self.plan.cells:
            lines = self.folder.log(cell.id).read_text(errors="replace").splitlines()
            ends = sum(line.rstrip().endswith(" done") and line[:2] == "20" for line in lines)
            if ends > 1 and cell.name not in deleted:
                found.append(f"{cell.name}: {ends} times")
        return found

    def disturb(self, kind: str, driver: subprocess.Popen[bytes], draw: random.Random) -> str | None:
        """Do one bad thing; return the name of the run folder that was deleted, if one was."""
        if kind == "driver":
            driver.kill()
        elif kind == "SIGTERM":
            driver.send_signal(signal.SIGTERM)
        elif kind == "full disk":
            _fill(self.folder.root)
        elif kind == "deleted run folder":
            driver.kill()
            driver.wait()
            self.wait_for_the_end()
            if runs := sorted(path for path in self.folder.runs.glob("*") if path.is_dir()):
                shutil.rmtree(chosen := draw.choice(runs))
                return chosen.name
        elif victims := [one for one in self.left() if PARTS[kind] in " ".join(one.cmdline())]:
            draw.choice(sorted(victims, key=lambda one: one.pid)).kill()
        return None


def _fill(folder: Path) -> None:
    """Leave no room on a disk for a while."""
    path = folder / "filler"
    with path.open("wb") as stream, contextlib.suppress(OSError):
        while True:
            stream.write(bytes(2**20))
            stream.flush()
    time.sleep(FULL_SECONDS)
    path.unlink()


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a small tmpfs at a folder; yield whether that was possible."""
    folder.mkdir(parents=True)
    options = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(options, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=False)


def rough_run(
    trial: Trial, kinds: list[str], draw: random.Random, pause: float
) -> tuple[Counter[str], set[str], int]:
    """Run a suite to its end through disturbances.

    Returns:
        How often what was done, the names of deleted run folders, and how many processes survived a driver.
    """
    counts: Counter[str] = Counter()
    deleted: set[str] = set()
    survivors = 0
    driver = trial.start()
    while not trial.is_done or driver.poll() is None:
        if kinds:
            with contextlib.suppress(subprocess.TimeoutExpired):
                driver.wait(draw.random() * pause)
            if driver.poll() is None:
                kind = kinds.pop(0)
                counts[kind] += 1
                print(f"{sum(counts.values())}: {kind}", flush=True)
                if name := trial.disturb(kind, driver, draw):
                    deleted.add(name)
                if kind in ("worker", "interchange", "pool", "full disk"):
                    continue
        driver.wait()
        survivors += trial.wait_for_the_end()
        if not trial.is_done:
            driver = trial.start()
    return counts, deleted, survivors + trial.wait_for_the_end()


def main() -> None:
    """Run, disturb, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a new or empty folder")
    parser.add_argument("--moments", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--arms", default="", help="of the demo, with commas between; default: all")
    parser.add_argument("--tasks", default="", help="of the demo; default: all that are not optional")
    parser.add_argument(
        "--pause", type=float, help="longest pause between two moments (s); default: by the undisturbed run"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--drive", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    chosen, folder = Chosen(arguments.arms, arguments.tasks), arguments.folder.absolute()
    if arguments.drive:
        try:
            run_cells(chosen.plan(folder.parent / "data"), SuiteFolder(folder), observer=Lines())
        except KeyboardInterrupt:
            sys.exit(143)
        return
    calm = Trial(folder / "calm", chosen)
    began = time.monotonic()
    if calm.start().wait() or not calm.is_done:
        sys.exit("the undisturbed run failed")
    calm_seconds = time.monotonic() - began
    # Half of the longest on average: the last moment comes shortly before the end.
    pause = arguments.pause or 2 * calm_seconds / (arguments.moments + 1)
    print(f"undisturbed in {calm_seconds:.0f} s; at most {pause:.0f} s between two moments", flush=True)
    draw = random.Random(arguments.seed)
    with small_disk(folder / "rough") as mounted:
        if not mounted:
            print("only root can mount a small disk: it is NOT filled")
        kinds = [kind for kind in KINDS if mounted or kind != "full disk"]
        rough = Trial(folder / "rough", chosen)
        asked = [kinds[moment % len(kinds)] for moment in range(arguments.moments)]
        counts, deleted, survivors = rough_run(rough, asked, draw, pause)
        expected, found = calm.scores(), rough.scores()
        twice = rough.ended_twice(deleted)
    lost = [key for key, _ in expected if key not in dict(found)]
    doubled = [key for key, count in Counter(key for key, _ in found).items() if count > 1]
    differ = [key for key, values in found if dict(expected).get(key) != values]
    print(
        f"{len(rough.plan.cells)} cells, {rough.starts} starts, disturbed: {dict(counts)}, deleted: {deleted}"
    )
    rows = {
        "moments that came after the suite was done": arguments.moments - sum(counts.values()),
        "records that differ from the undisturbed run": len(differ),
        "records lost": len(lost),
        "records doubled": len(doubled),
        "cells that ran to their end twice": len(twice),
        "processes that survived their driver": survivors,
    }
    for name, value in rows.items():
        print(f"{name}: {value}, goal 0: {'met' if value == 0 else 'missed'}")
    for problem in (*differ, *lost, *doubled, *twice):
        print(f"  {problem}")
    if arguments.json is not None:
        figures = {name: {"value": value, "goal": 0, "better": "lower"} for name, value in rows.items()}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
