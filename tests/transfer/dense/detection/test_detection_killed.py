"""A command that is killed with SIGKILL, and started again until it is done."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import small_detectors as small
import two_detectors

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(folder: Path) -> subprocess.Popen[str]:
    script = [sys.executable, two_detectors.__file__, "command", str(folder)]
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


def test_a_command_that_is_killed_twice_goes_on_to_the_same_detections(tmp_path: Path) -> None:
    for name in ("killed", "whole"):
        small.write_boxes(tmp_path / name / "boxes", {"train": 10, "test": 4}, most=2)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    undisturbed = start(whole)
    for reached in (4, 9):
        running = start(killed)
        while newest_step(killed) < reached:
            assert running.poll() is None, running.communicate()[0][-2000:]
            time.sleep(0.02)
        os.kill(running.pid, signal.SIGKILL)
        running.communicate()
        assert 1 <= len(list(killed.rglob("step-*.pth"))) <= 2
        assert not list((killed / "results").rglob("*.json"))
    for run in (undisturbed, start(killed)):
        output = run.communicate()[0]
        assert run.returncode == 0, output[-2000:]
    found, expected = finished_work(killed), finished_work(whole)
    assert small.detections(found) == small.detections(expected) != []
    assert small.losses(found) == small.losses(expected)
    assert len(small.losses(found)) == two_detectors.ITERATIONS
    assert not (killed / "results" / ".unfinished").exists()
