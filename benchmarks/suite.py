"""What a suite of 10,000 cells costs beside its work, with the goals: its plan, and the engine.

The plan is timed as a command, start-up included. The engine runs cells that do nothing: what is left is its
overhead for each, and the memory of the process that drives them.

Run: python benchmarks/suite.py [--cells 10000] [--json PATH]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mmbench.tools.suite.definition.suite import Arm, Pretraining, RunSettings, Suite
from mmbench.tools.suite.execution.driver import run_cells
from mmbench.tools.suite.execution.work import Job, Left
from mmbench.tools.suite.folder import SuiteFolder
from mmbench.tools.suite.planning.cell import Cell, TransferWork
from mmbench.tools.suite.planning.plan import Plan

SUITE = """
name: large
data: [patterns]
arch: mixmask_resnet8
arms:
  - {{name: moco, pretrain: {{method: moco, epochs: 2}}}}
  - {{name: mixmask, pretrain: {{method: mixmask, epochs: 2}}}}
  - {{name: random, checkpoint: random}}
seeds: [{seeds}]
tasks: [knn, linear, logreg, lowshot, finetune, dense, segmentation,
        {{task: semisup, draws: 5}}, {{task: detection, draws: 5}}]
"""
SEEDS = 195  # 2 pretrainings and 3 x 17 transfers each, and the data: 10,336 cells
GOAL_SECONDS = 2.0
GOAL_CELL_SECONDS, GOAL_MIB = 1.0, 500
REPEATS = 3


def plan_seconds(folder: Path) -> tuple[int, float, float]:
    """Return the number of cells of a large suite, and the least wall and processor time of its plan (s)."""
    path = folder / "large.yaml"
    path.write_text(SUITE.format(seeds=", ".join(map(str, range(SEEDS)))))
    command = [sys.executable, "-m", "mmbench", "suite", "plan", str(path), "--json"]
    cells, wall, processor = 0, [], []
    for _ in range(REPEATS):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
        wall.append(time.perf_counter() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        cells = json.loads(answer.stdout)["cells"]
    return cells, min(wall), min(processor)


def perform(job: Job) -> Left:
    """Do nothing: the work of a cell that only the benchmark has."""
    return Left()


class Silent:
    """An observer that shows nothing."""

    def update(self, states: object) -> None:
        pass

    def say(self, line: str) -> None:
        print(line, file=sys.stderr)


def drive(cells: int, folder: Path) -> None:
    """Run cells that do nothing, and print the seconds from first to last and this process's memory (MiB)."""
    work = [
        TransferWork(
            arm="none", weights="none", weights_seed=0, data="none", task="none", protocol="none", seed=seed
        )
        for seed in range(cells)
    ]
    arm = Arm(pretrain=Pretraining(method="none"))
    suite = Suite(name="nothing", data=("none",), arms=(arm,), tasks=("none",), run=RunSettings(workers=2))
    plan = Plan(suite, tuple(Cell(name=f"cell {one.seed}", work=one, seconds=1) for one in work))
    run_cells(plan, SuiteFolder(folder), observer=Silent(), perform="suite:perform")
    states = list(SuiteFolder(folder).states())
    assert [state.status for state in states] == ["done"] * cells
    seconds = max(state.changed for state in states) - min(state.started for state in states)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "mib": memory}))


def engine_figures(cells: int, folder: Path) -> tuple[float, float]:
    """Return the seconds per cell of two workers, and the memory of the driver in MiB."""
    places = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    command = [sys.executable, __file__, "--drive", str(folder / "nothing"), "--cells", str(cells)]
    answer = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(place for place in places if place)},
    )
    found = json.loads(answer.stdout.splitlines()[-1])
    return found["seconds"] * 2 / cells, found["mib"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cells", type=int, default=10_000, help="of the engine")
    parser.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.drive is not None:
        drive(arguments.cells, arguments.drive)
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        cells, wall, processor = plan_seconds(Path(folder))
        overhead, memory = engine_figures(arguments.cells, Path(folder))
    rows = {
        f"plan of {cells:,} cells, s": (round(wall, 2), GOAL_SECONDS),
        "engine: overhead of a cell, s": (round(overhead, 3), GOAL_CELL_SECONDS),
        f"engine: memory of the driver of {arguments.cells:,} cells, MiB": (round(memory), GOAL_MIB),
    }
    print(f"the plan took {processor:.2f} s of the processor")
    for name, (value, goal) in rows.items():
        print(f"{name}: {value}, goal at most {goal}: {'met' if value <= goal else 'missed'}")
    if arguments.json is not None:
        found = {
            name: {"value": value, "goal": goal, "better": "lower"} for name, (value, goal) in rows.items()
        }
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
