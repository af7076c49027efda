"""A command that is killed by SIGKILL and stopped by SIGTERM, and started again until it is done."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import small_segmentors as small
import two_segmentors

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(folder: Path) -> subprocess.Popen[str]:
    script = [sys.executable, two_segmentors.__file__, "command", str(folder)]
    return subprocess.Popen(
        script, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def newest_step(folder: Path) -> int:
    steps = [int(path.stem.partition("-")[2]) for path in folder.rglob("step-*.pth")]
    return max(steps, default=0)


def finished_work(folder: Path) -> Path:
    """Return the folder with the logs of the one run below `folder`."""
    (found,) = folder.rglob("metrics.json")
    return found.parent


def test_a_command_that_is_killed_and_stopped_goes_on_to_the_same_predictions(tmp_path: Path) -> None:
    for name in ("killed", "whole"):
        small.write_scenes(tmp_path / name / "scenes", {"train": 10, "test": 4})
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    undisturbed = start(whole)
    for reached, number in ((4, signal.SIGKILL), (9, signal.SIGTERM)):
        running = start(killed)
        while newest_step(killed) < reached:
            assert running.poll() is None, running.communicate()[0][-2000:]
            time.sleep(0.02)
        os.kill(running.pid, number)
        output = running.communicate()[0]
        assert number == signal.SIGKILL or "Traceback" not in output
        assert 1 <= len(list(killed.rglob("step-*.pth"))) <= 2
        assert not list((killed / "results").rglob("*.json"))
    for run in (undisturbed, start(killed)):
        output = run.communicate()[0]
        assert run.returncode == 0, output[-2000:]
    with np.load(killed / "predictions.npz") as found, np.load(whole / "predictions.npz") as expected:
        assert small.same(dict(found), dict(expected))
    lines = small.losses(finished_work(killed))
    assert lines == small.losses(finished_work(whole)) and len(lines) == two_segmentors.ITERATIONS
    assert not (killed / "results" / ".unfinished").exists()
