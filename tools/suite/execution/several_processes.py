"""A pretraining over several processes: its command under `torchrun`, here or in a Slurm job of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from mmbench.errors import UserError
from mmbench.file_names import counted
from mmbench.pretrain.recipes.recipe import earlier_recipes
from mmbench.runs import RunFolder, read_settings
from mmbench.tools.suite.definition.suite import Launch
from mmbench.tools.suite.execution.arm_recipe import arm_recipe
from mmbench.tools.suite.execution.drivers import stop_processes
from mmbench.tools.suite.execution.work import Job
from mmbench.tools.suite.planning.cell import PretrainWork

VARIABLE = "MMBENCH_SUITE_CELL"  # in the environment of what a cell starts
LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 40.0  # for a training to save; `torchrun` itself waits for 30
KILL_SECONDS = 1.0  # between SIGTERM and SIGKILL for what did not stop in time
TAIL = 8192  # bytes of the records of a run that are looked at for its progress


class Attempt(Protocol):
    """The processes of one attempt, from their start to their end."""

    output: Path

    def is_over(self) -> bool:
        """Return whether all of them have ended."""

    def ask_to_stop(self) -> None:
        """Let the training save and stop."""

    def kill(self) -> None:
        """End them at once, if they have not ended."""

    @property
    def waits(self) -> str:
        """What the attempt waits for, in words; "" where its processes run."""


def pretrain_in_processes(job: Job, work: PretrainWork, run: RunFolder) -> None:
    """Pretrain in several processes, again after losses as long as there is progress.

    Raises:
        UserError: anything that the user can fix; the processes end again and again.
        KeyboardInterrupt: a stop was asked for; the training has saved its state.
    """
    launch = job.place.run.pretraining
    _check_gpus(launch)
    command = pretrain_command(job, work, run.root)
    job.say(f"python {' '.join(command)}")
    losses, farthest = 0, -1
    while True:
        attempt = _start(job, launch, command)
        _follow(job, attempt, run)
        if run.finished:
            return
        if job.stop.asked:
            raise KeyboardInterrupt
        if message := user_error(attempt.output):
            raise UserError(message)
        step = max((int(path.stem.rpartition("-")[2]) for path in run.state_paths()), default=-1)
        losses = 1 if step > farthest else losses + 1
        farthest = max(step, farthest)
        if losses > job.place.run.retries:
            raise UserError(f"its processes ended {losses} times without progress; see {attempt.output}")
        job.say("the processes ended before the pretraining did; they are started again")


def pretrain_command(job: Job, work: PretrainWork, folder: Path) -> list[str]:
    """Return the `mmbench pretrain` that does a piece of work, without Python itself."""
    recipe = arm_recipe(job.folder, work)
    earlier = earlier_recipes().get(recipe or "")
    options: dict[str, Any] = {
        "method": work.method if earlier is None else earlier.id,
        "scale": work.scale if earlier is None else None,
        "arch": work.arch,
        "data": work.data,
        "data-root": job.place.data_root,
        "epochs": work.epochs,
        "seed": work.seed,
        "threads": job.place.run.threads,
        "out": folder,
    }
    stated = [f"--{name}={value}" for name, value in options.items() if value is not None]
    changes = [f"--set={name}={json.dumps(value)}" for name, value in work.settings.items()]
    return ["-m", "mmbench", "pretrain", *stated, *changes]


def _check_gpus(launch: Launch) -> None:
    """Check that each process has a GPU of its own, where there are any.

    Raises:
        UserError: there are fewer.
    """
    import torch

    found = torch.cuda.device_count()
    if launch.nodes == 1 and 0 < found < launch.processes_per_node:
        raise UserError(
            f"run.pretraining asks for {launch.processes_per_node} processes, and a cell has "
            f"{counted(found, 'GPU')}; set run.gpus_per_cell: {launch.processes_per_node}"
        )


def _start(job: Job, launch: Launch, command: list[str]) -> Attempt:
    if launch.nodes > 1:
        from mmbench.tools.suite.execution.slurm_job import SlurmJob

        return SlurmJob(job, launch, command)
    return LocalProcesses(job, launch, command)


class LocalProcesses:
    """`torchrun` on this host."""

    waits = ""

    def __init__(self, job: Job, launch: Launch, command: list[str]) -> None:
        self.output = job.folder.logs / f"{job.cell.id}.processes.log"
        self._mark = job.folder.lock(job.cell.id)
        stop_processes(self._mark, variable=VARIABLE)  # what a killed worker left
        node = [sys.executable, "-m", "mmbench.tools.suite.execution.node", str(launch.processes_per_node)]
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                [*node, *command],
                env={**os.environ, VARIABLE: str(self._mark)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def is_over(self) -> bool:
        """Return whether they have ended."""
        return self._process.poll() is not None

    def ask_to_stop(self) -> None:
        """Let the training save and stop."""
        self._process.terminate()

    def kill(self) -> None:
        """End them at once."""
        stop_processes(self._mark, KILL_SECONDS, VARIABLE)
        self._process.wait()


def _follow(job: Job, attempt: Attempt, run: RunFolder) -> None:
    """Report progress until an attempt is over."""
    asked: float | None = None
    steps = 0
    try:
        while not attempt.is_over():
            if asked is None and job.stop.asked:
                asked = time.monotonic()
                attempt.ask_to_stop()
            if asked is not None and time.monotonic() - asked > PATIENCE_SECONDS:
                return
            steps = steps or _steps(run)
            done, words = _progress(run)
            job.report(done, steps, attempt.waits or words or "starting its processes")
            time.sleep(LOOK_SECONDS)
    finally:
        attempt.kill()


def _steps(run: RunFolder) -> int:
    """Return how many steps a run has in all; 0 if it does not say yet."""
    with contextlib.suppress(UserError, OSError):  # they are just being written
        return _effective(run, "steps") or 0
    return 0


def _progress(run: RunFolder) -> tuple[int, str]:
    """Return the newest recorded step of a run, and its loss and rate in words."""
    try:
        with run.metrics.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - TAIL))
            lines = stream.read().splitlines()
    except OSError:
        return 0, ""
    for line in reversed(lines):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            record = json.loads(line)
            return int(
                record["step"]
            ), f"loss {record['loss']:.3f}, {record['images_per_second']:.0f} images/s"
    return 0, ""


def user_error(output: Path) -> str | None:
    """Return the last error for the user that a command printed; None if there is none."""
    try:
        lines = output.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next(
        (line.partition("Error: ")[2] for line in reversed(lines) if line.startswith("Error: ")), None
    )


def recorded_processes(run: RunFolder) -> int | None:
    """Return how many processes a run was trained by; None if its settings do not say."""
    return _effective(run, "processes")


def _effective(run: RunFolder, name: str) -> int | None:
    """Return a number of the effective settings of a run; None if they do not say."""
    effective = read_settings(run.settings).get("effective") if run.settings.is_file() else None
    found = effective.get(name) if isinstance(effective, dict) else None
    return found if isinstance(found, int) else None
