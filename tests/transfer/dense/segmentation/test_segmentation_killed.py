"""A command that is killed by SIGKILL and stopped by SIGTERM, and started again until it is done."""

import os
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import small_segmentors as small
import two_segmentors
from forked import start_script


def start(folder: Path) -> BaseProcess:
    return start_script([two_segmentors.__file__, "command", str(folder)], folder / "output.txt")


def output_of(folder: Path) -> str:
    return (folder / "output.txt").read_text()


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
    for reached, number in ((2, signal.SIGKILL), (4, signal.SIGTERM)):
        running = start(killed)
        while newest_step(killed) < reached:
            assert running.is_alive(), output_of(killed)[-2000:]
            time.sleep(0.02)
        assert running.pid is not None
        os.kill(running.pid, number)
        running.join()
        assert running.exitcode not in (0, None)
        assert number == signal.SIGKILL or "Traceback" not in output_of(killed)
        assert 1 <= len(list(killed.rglob("step-*.pth"))) <= 2
        assert not list((killed / "results").rglob("*.json"))
    for run, folder in ((undisturbed, whole), (start(killed), killed)):
        run.join()
        assert run.exitcode == 0, output_of(folder)[-2000:]
    with np.load(killed / "predictions.npz") as found, np.load(whole / "predictions.npz") as expected:
        assert small.same(dict(found), dict(expected))
    lines = small.losses(finished_work(killed))
    assert lines == small.losses(finished_work(whole)) and len(lines) == two_segmentors.ITERATIONS
    assert not (killed / "results" / ".unfinished").exists()
