"""Cells that cost nothing, for tests of the engine: their work is a wait and a line in a file.

The task of a cell says what it does: "sleep-1.5" waits, "gate" waits for a file called "go", "fail"
fails, "die" kills its worker, "once" does so at its first attempt, "elsewhere" leaves a folder that is not
in the suite's.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from mmbench.errors import UserError
from mmbench.tools.suite.definition.suite import Arm, Pretraining, RunSettings, Suite
from mmbench.tools.suite.execution.work import Job, Left
from mmbench.tools.suite.planning.cell import Cell, TransferWork
from mmbench.tools.suite.planning.plan import Plan

PERFORM = "cheap_cells:perform"
STEP = 0.05


def cell(name: str, task: str = "sleep-0", after: tuple[Cell, ...] = (), seconds: float = 1) -> Cell:
    work = TransferWork(
        arm=name, weights="none", weights_seed=0, data="none", task=task, protocol="none", seed=0
    )
    return Cell(name=name, work=work, after=tuple(other.id for other in after), seconds=seconds)


def plan(cells: list[Cell], **settings: object) -> Plan:
    run = RunSettings.model_validate({"workers": 2, **settings})
    arm = Arm(pretrain=Pretraining(method="none"))
    return Plan(Suite(name="cheap", data=("none",), arms=(arm,), tasks=("knn",), run=run), tuple(cells))


def count(root: Path, what: str) -> dict[str, int]:
    """Return how often each cell began, or was completed."""
    found: dict[str, int] = {}
    path = root / f"{what}.txt"
    for name in path.read_text().split() if path.exists() else ():
        found[name] = found.get(name, 0) + 1
    return found


def _note(job: Job, what: str) -> None:
    handle = os.open(job.place.root / f"{what}.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.write(handle, f"{job.cell.work.arm}\n".encode())  # type: ignore[union-attr]
    os.close(handle)


def perform(job: Job) -> Left:
    """Wait in steps, each saved, so that a stopped cell goes on where it stood; leave a file."""
    work = job.cell.work
    assert isinstance(work, TransferWork)
    what, _, value = work.task.partition("-")
    _note(job, "begun")
    os.write(1, f"printed by {work.arm}\n".encode())  # as a library in C does
    if what == "fail":
        raise UserError(f"{work.arm} cannot be done; do something else")
    if what == "elsewhere":
        return Left(Path(work.arm), "fingerprint")
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "once":  # dies at the first attempt
        mark = job.place.root / f"{work.arm}.died"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    saved = job.folder.runs / f"{work.arm}.steps"
    saved.parent.mkdir(exist_ok=True)
    steps = round(float(value or 0) / STEP)
    done = int(saved.read_text()) if saved.exists() else 0
    while done < steps or (what == "gate" and not (job.place.root / "go").exists()):
        time.sleep(STEP)
        done += 1
        job.report(done, steps, f"step {done}")
        if job.stop.asked:
            saved.write_text(str(done))
            raise KeyboardInterrupt
    left = job.folder.runs / work.arm
    left.write_text("left")
    _note(job, "completed")
    return Left(left, "fingerprint")
