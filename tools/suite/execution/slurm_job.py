"""A pretraining on several nodes: a job of Slurm of its own, watched from where jobs are submitted."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from mmbench.errors import UserError, one_line
from mmbench.tools.suite.definition.suite import Launch
from mmbench.tools.suite.execution.configuration import job_variables
from mmbench.tools.suite.execution.work import Job

ASK_SECONDS = 5.0  # between two questions to Slurm
PATIENCE_SECONDS = 120.0  # for Slurm to end a job, and for its answers to come back
COMMAND_SECONDS = 60.0


class SlurmJob:
    """A job that runs a pretraining on several nodes; an earlier one of the same cell is cancelled first.

    Slurm requeues the job after a pre-emption or the loss of a node, and it goes on with its newest state.

    Raises:
        UserError: Slurm does not take the job, or does not end the earlier one.
    """

    def __init__(self, job: Job, launch: Launch, command: list[str]) -> None:
        digest = hashlib.sha256(str(job.folder.root).encode()).hexdigest()[:8]
        self.name = f"mmbench-{job.cell.id}-{digest}"
        self.output = job.folder.logs / f"{job.cell.id}.processes.log"
        self._asked, self._state, self._silent = 0.0, "PENDING", time.monotonic()
        self._end_earlier()
        self.output.unlink(missing_ok=True)
        script = self.output.with_suffix(".sh")
        script.write_text(job_script(job, launch, command, self.name, self.output), encoding="utf-8")
        answer = _run("sbatch", "--parsable", str(script))
        if answer.returncode:
            raise UserError(f"sbatch does not take the job: {one_line(answer.stderr.strip(), 300)}")
        job.say(f"submitted job {answer.stdout.strip()} for {launch.nodes} nodes")

    def is_over(self) -> bool:
        """Return whether Slurm has the job no more.

        Raises:
            UserError: Slurm has not answered for some time.
        """
        if time.monotonic() - self._asked < ASK_SECONDS:
            return False
        self._asked = time.monotonic()
        states = self._states()
        if states is None:
            if time.monotonic() - self._silent > PATIENCE_SECONDS:
                raise UserError(f"squeue has not answered for {PATIENCE_SECONDS:.0f} s")
            return False
        self._silent = time.monotonic()
        self._state = states[0] if states else ""
        return not states

    @property
    def waits(self) -> str:
        """Where the job stands if it does not run, in Slurm's words."""
        return "" if self._state == "RUNNING" else f"its job is {self._state.lower() or 'over'}"

    def ask_to_stop(self) -> None:
        """Cancel the job: Slurm sends SIGTERM first, and the training saves."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            _run("scancel", f"--name={self.name}")
        self._asked = 0.0

    kill = ask_to_stop

    def _end_earlier(self) -> None:
        """Cancel a job that a killed worker left, and wait for its end."""
        end = time.monotonic() + PATIENCE_SECONDS
        while self._states() != []:
            if time.monotonic() > end:
                raise UserError(
                    f"an earlier job of this cell does not end; look at squeue --name={self.name}"
                )
            self.ask_to_stop()
            time.sleep(1)

    def _states(self) -> list[str] | None:
        """Return the state of the job in Slurm's words, [] if it is over, None without an answer."""
        try:
            answer = _run("squeue", "--noheader", f"--name={self.name}", "--format=%T")
        except subprocess.TimeoutExpired:
            return None
        return answer.stdout.split() if answer.returncode == 0 else None


def job_script(job: Job, launch: Launch, command: list[str], name: str, output: Path) -> str:
    """Return the script of the job; `srun` starts one `node` on each of its nodes."""
    asked = job.place.run.slurm
    options = {
        "job-name": name,
        "partition": asked.partition,
        "account": asked.account,
        "time": launch.time or asked.time,
        "nodes": launch.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": launch.processes_per_node * job.place.run.threads,
        "output": output,
        "open-mode": "append",
    }
    lines = [f"--{option}={value}" for option, value in options.items() if value is not None]
    lines += ["--requeue", *(asked.options if launch.options is None else launch.options)]
    node = [
        sys.executable,
        "-m",
        "mmbench.tools.suite.execution.node",
        str(launch.processes_per_node),
        *command,
    ]
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH {line}" for line in lines),
            *(f"export {name}={shlex.quote(value)}" for name, value in job_variables(os.environ).items()),
            *asked.prepare,
            f"exec srun --kill-on-bad-exit {shlex.join(node)}",
            "",
        ]
    )


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=COMMAND_SECONDS)
