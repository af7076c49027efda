"""A command that is killed with SIGKILL, and started again until it is done."""

import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import small_detectors as small
import two_detectors
from forked import start_script


def start(folder: Path) -> BaseProcess:
    return start_script([two_detectors.__file__, "command", str(folder)], folder / "output.txt")


def output_of(folder: Path) -> str:
    return (folder / "output.txt").read_text()


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
    for reached in (2, 4):
        running = start(killed)
        while newest_step(killed) < reached:
            assert running.is_alive(), output_of(killed)[-2000:]
            time.sleep(0.02)
        running.kill()
        running.join()
        assert running.exitcode == -signal.SIGKILL
        assert 1 <= len(list(killed.rglob("step-*.pth"))) <= 2
        assert not list((killed / "results").rglob("*.json"))
    for run, folder in ((undisturbed, whole), (start(killed), killed)):
        run.join()
        assert run.exitcode == 0, output_of(folder)[-2000:]
    found, expected = finished_work(killed), finished_work(whole)
    assert small.detections(found) == small.detections(expected) != []
    assert small.losses(found) == small.losses(expected)
    assert len(small.losses(found)) == two_detectors.ITERATIONS
    assert not (killed / "results" / ".unfinished").exists()
