"""Detection in two processes over gloo, and a command that is killed: both find what one process finds."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_detectors as small
import two_detectors

from mmbench.results import Result

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the script once in two processes; tests look at what it left."""
    folder = tmp_path_factory.mktemp("processes")
    small.write_boxes(folder / "boxes", {"train": 12, "test": 5})
    done = subprocess.run(
        [*LAUNCH, two_detectors.__file__, str(folder)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Result]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(two_detectors.history, "WINDOW", 1)
        return two_detectors.measure(folder / "alone", small.boxes_at(folder / "boxes"))


@pytest.mark.parametrize("kind", two_detectors.RUNS)
def test_two_processes_have_the_losses_of_one(folder: Path, alone: dict[str, Result], kind: str) -> None:
    found, expected = small.losses(folder / "together" / kind), small.losses(folder / "alone" / kind)
    assert len(found) == len(expected) == 5
    assert found == pytest.approx(expected, rel=1e-4)
    assert found[0] != found[-1]


def test_both_processes_have_the_same_record_and_one_is_written(folder: Path) -> None:
    records = []
    for rank in range(2):
        lines = (folder / f"records-{rank}.txt").read_text().splitlines()
        records.append([Result.model_validate_json(line) for line in lines])
    assert records[0] == records[1]
    assert len(list((folder / "together" / "results").rglob("*.json"))) == len(two_detectors.RUNS)
    assert all(result.dataset.split_sizes == {"train": 12, "test": 5} for result in records[0])


def test_a_batch_that_cannot_be_shared_is_one_line_in_both(folder: Path) -> None:
    messages = [(folder / f"error-{rank}.txt").read_text() for rank in range(2)]
    assert messages[0] == messages[1]
    assert "a batch of 3 images cannot be shared evenly by 2 processes" in messages[0]


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
    for reached in (7, 18):
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
