"""Suites on a real Slurm of two nodes (cluster.sh): `make test-slurm`, as root, with slurm-wlm and munge."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file

from mmbench.records.store import Result, ResultStore
from mmbench.runs import read_settings
from mmbench.tools.suite.definition.suite import Suite
from mmbench.tools.suite.execution.driver import run_cells
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.planning.plan import plan_of

pytestmark = pytest.mark.slurm

HERE = Path(__file__).parent
PATIENCE = 600.0  # seconds; a requeued job starts after about 120
RUN_LOCAL = {"workers": 2}
RUN_SLURM = {"executor": "slurm", "slurm": {"partition": "low", "jobs": 2, "time": "00:20:00"}}
RUN_TWO_PROCESSES = {"workers": 1, "pretraining": {"processes_per_node": 2}}
RUN_TWO_NODES = {**RUN_SLURM, "pretraining": {"nodes": 2}}


@pytest.fixture(scope="module", autouse=True)
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start a Slurm, and end it after the tests of this file."""
    folder = tmp_path_factory.mktemp("slurm")
    script = str(HERE / "cluster.sh")
    subprocess.run([script, "start", str(folder)], check=True, timeout=120)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    os.environ["PYTHONPATH"] = str(HERE.parents[1])
    yield
    subprocess.run([script, "stop", str(folder)], check=False, timeout=60)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a folder of small images of two classes, which differ in colour."""
    root, draw = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for split, count in (("train", 32), ("val", 16), ("test", 16)):
        for place, name in enumerate(("red", "blue")):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = draw.integers(0, 200, (32, 32, 3), dtype=np.uint8)
                pixels[..., 2 * place] += 55
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def suite(images: Path, run: Mapping[str, Any], epochs: int) -> Suite:
    settings = {"batch_size": 32, "framework.queue": 64}
    moco = {"method": "moco", "scale": "small-images", "epochs": epochs, "settings": settings}
    return Suite.model_validate(
        {
            "name": "small",
            "data": [str(images)],
            "arch": "mixmask_resnet8",
            "arms": [
                {"name": "moco", "pretrain": moco},
                {"name": "random", "checkpoint": "random"},
                {"name": "pixels", "checkpoint": "pixels"},
            ],
            "seeds": [0, 1],
            "tasks": [{"task": "knn", "settings": {"neighbours": 5}}],
            "run": run,
        }
    )


class Watcher:
    """An observer that calls a function once, when a cell has come so far."""

    def __init__(self, call: Callable[[], None] = lambda: None) -> None:
        self.call = call
        self.lines: list[str] = []

    def update(self, states: Mapping[str, CellState]) -> None:
        under_way = any(state.name.startswith("moco") and state.done >= 4 for state in states.values())
        if under_way and self.call:
            call, self.call = self.call, lambda: None
            threading.Thread(target=call, daemon=True).start()

    def say(self, line: str) -> None:
        self.lines.append(line)


def run(folder: Path, wanted: Suite, watcher: Watcher | None = None) -> dict[str, CellState]:
    run_cells(plan_of(wanted), SuiteFolder(folder), observer=watcher or Watcher())
    states = {state.name: state for state in SuiteFolder(folder).states()}
    assert {name: (state.status, state.error) for name, state in states.items()} == dict.fromkeys(
        states, ("done", "")
    )
    return states


def measured(folder: Path) -> dict[tuple[str, int], Any]:
    """Return the metrics of the records by arm and seed."""
    results: list[Result] = list(ResultStore(folder / "results"))
    return {(result.model.arm, result.seed): result.model_dump()["metrics"] for result in results}


def weights(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.parent.name: load_file(path) for path in sorted(folder.glob("runs/*/model.safetensors"))}


def assert_equal(one: Path, other: Path) -> None:
    """Assert that two suites left the same weights, bit by bit, and the same records."""
    first, second = weights(one), weights(other)
    assert list(first) == list(second) == ["moco-seed0", "moco-seed1"]
    for run_folder, tensors in first.items():
        assert tensors.keys() == second[run_folder].keys()
        for name, tensor in tensors.items():
            assert np.array_equal(tensor, second[run_folder][name]), f"{run_folder} {name}"
    assert measured(one) == measured(other)
    assert len(measured(one)) == 5  # pixels have no seed


def queue() -> list[str]:
    answer = subprocess.run(["squeue", "-h", "-o", "%P %T"], capture_output=True, text=True, check=True)
    return answer.stdout.split("\n")[:-1]


def take_the_nodes(seen: list[str]) -> None:
    """Let a job of the other partition pre-empt what runs; note the queue when that waits again."""
    command = ["sbatch", "-p", "high", "-N2", "-n4", "-o", "/dev/null", "--wrap", "sleep 5"]
    subprocess.run(command, check=True, capture_output=True)
    while not any("low PENDING" in line for line in queue()):
        time.sleep(0.2)
    seen.extend(queue())


def test_records_and_weights_are_those_of_a_local_run_and_a_pre_empted_suite_ends_by_itself(
    tmp_path: Path, images: Path
) -> None:
    epochs = 12
    run(tmp_path / "local", suite(images, RUN_LOCAL, epochs))
    states = run(tmp_path / "cluster", suite(images, RUN_SLURM, epochs))
    assert_equal(tmp_path / "local", tmp_path / "cluster")
    assert {state.attempt for state in states.values()} == {1}
    end = time.monotonic() + PATIENCE
    while queue():  # the pilot jobs were cancelled
        assert time.monotonic() < end
        time.sleep(0.5)

    seen: list[str] = []
    states = run(
        tmp_path / "pre-empted", suite(images, RUN_SLURM, epochs), Watcher(lambda: take_the_nodes(seen))
    )
    assert any("low PENDING" in line for line in seen)  # the pilots had to give way
    assert max(state.attempt for name, state in states.items() if name.startswith("moco-seed")) > 1
    assert_equal(tmp_path / "local", tmp_path / "pre-empted")


def test_a_pretraining_on_two_nodes_is_a_job_of_its_own_and_equals_two_processes_of_one_host(
    tmp_path: Path, images: Path
) -> None:
    epochs = 6
    run(tmp_path / "here", suite(images, RUN_TWO_PROCESSES, epochs))
    states = run(tmp_path / "nodes", suite(images, RUN_TWO_NODES, epochs))
    assert_equal(tmp_path / "here", tmp_path / "nodes")
    for folder in ("here", "nodes"):
        settings = read_settings(tmp_path / folder / "runs" / "moco-seed0" / "settings.yaml")
        assert settings["effective"]["processes"] == 2
    assert {state.attempt for state in states.values()} == {1}

    seen: list[str] = []
    run(tmp_path / "pre-empted", suite(images, RUN_TWO_NODES, epochs), Watcher(lambda: take_the_nodes(seen)))
    assert any("low PENDING" in line for line in seen)  # the jobs had to give way
    assert_equal(tmp_path / "here", tmp_path / "pre-empted")
    scripts = [path.read_text() for path in (tmp_path / "pre-empted" / "logs").glob("*.processes.sh")]
    assert len(scripts) == 2
    assert all("#SBATCH --nodes=2" in script for script in scripts)


def test_two_nodes_train_as_one_process_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretrain_tests = HERE.parent / "pretrain"
    script = str(pretrain_tests / "two_processes.py")
    step = [
        "srun",
        "-p",
        "high",
        "-N2",
        "-n2",
        sys.executable,
        "-m",
        "mmbench.tools.suite.execution.node",
        "1",
    ]
    done = subprocess.run([*step, script, str(tmp_path)], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr[-3000:]
    monkeypatch.syspath_prepend(str(pretrain_tests))
    import small_runs
    import test_two_processes
    import two_processes

    found = [torch.load(tmp_path / f"process-{rank}.pth", weights_only=True) for rank in range(2)]
    tiny = small_runs.make_tiny_dataset()
    for framework in two_processes.FRAMEWORKS:
        test_two_processes.test_with_synchronised_statistics_two_processes_equal_one(framework, found, tiny)
