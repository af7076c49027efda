"""A detection training that was interrupted goes on as if it had not been."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_detectors as small
import torch
from running import run_task
from small_detectors import AFTER_TRAINING, Killed, SaveThenKill

from mmbench.checkpoints.backbone import random_backbone
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.records.store import Result, ResultStore
from mmbench.transfer import resume
from mmbench.transfer.dense.common import history
from mmbench.transfer.dense.common.processes import Randomness

KILLS = 5


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small.write_boxes(tmp_path_factory.mktemp("boxes"), {"train": 8, "test": 3}, most=2)


@pytest.fixture(autouse=True)
def every_iteration_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "WINDOW", 1)
    monkeypatch.setattr(resume, "SAVE_EVERY_SECONDS", float("inf"))


def run(boxes: Dataset, folder: Path, overrides: dict[str, Any], report: Any = None, **asked: Any) -> Result:
    """Measure once; what other tests drew before must not matter."""
    torch.rand(int(random.random() * 9) + 1)
    return run_task(
        "detection",
        random_backbone(small.ARCHS[overrides["detector"]], 0),
        boxes,
        ResultStore(folder / "results"),
        work=folder / "work",
        overrides=overrides,
        report=report,
        seed=1,
        **{"workers": 0, **asked},
    )


@pytest.mark.parametrize("kind", ["c4", "fpn"])
def test_five_kills_change_no_detection(boxes, tmp_path, monkeypatch, kind) -> None:
    """Each session saves once and is killed later, so that iterations are repeated as well."""
    overrides = {**{"c4": small.C4, "fpn": small.FPN}[kind], "iterations": 12, "precise_bn_iterations": 1}
    whole = run(boxes, tmp_path / "whole", overrides)
    rng, reached = np.random.default_rng(5), 0
    for _ in range(KILLS):
        save_at = reached + int(rng.integers(1, 3))
        kill_at = save_at + int(rng.integers(1, 3))
        report = SaveThenKill(monkeypatch, save_at, kill_at)
        with pytest.raises(Killed):
            run(boxes, tmp_path / "parts", overrides, report)
        assert report.seen[0] == reached + 1, "it goes on where the state is"
        reached = save_at
        assert 1 <= len(list((tmp_path / "parts").rglob("step-*.pth"))) <= 2
    rest = SaveThenKill(monkeypatch, 0, 0)
    parts = run(boxes, tmp_path / "parts", overrides, rest)
    assert rest.seen == list(range(reached + 1, 13))
    assert small.detections(tmp_path / "parts" / "work") == small.detections(tmp_path / "whole" / "work")
    assert len(small.detections(tmp_path / "whole" / "work")) > 0
    assert parts.metrics == whole.metrics
    assert small.losses(tmp_path / "parts" / "work") == small.losses(tmp_path / "whole" / "work")
    assert len(small.losses(tmp_path / "whole" / "work")) == 12
    assert not (tmp_path / "parts" / "results" / ".unfinished").exists()


@pytest.mark.parametrize(("number", "step"), [(signal.SIGTERM, 3), (signal.SIGINT, 5)])
def test_a_stop_is_obeyed_after_the_iteration_and_continued(boxes, tmp_path, number, step) -> None:
    """At the last iteration too, where the running statistics and the evaluation are still to come."""
    overrides = {**small.PYRAMID, "iterations": 5, "precise_bn_iterations": 2}
    whole = run(boxes, tmp_path / "whole", overrides, workers=1)

    def stop(done: int, total: int, message: str) -> None:
        if done == step and not message.startswith(AFTER_TRAINING):
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        run(boxes, tmp_path / "parts", overrides, stop, workers=2)
    assert not list((tmp_path / "parts" / "results").rglob("*.json"))
    rest = list[tuple[int, str]]()
    parts = run(
        boxes, tmp_path / "parts", overrides, lambda done, total, message: rest.append((done, message))
    )
    assert [done for done, message in rest if not message.startswith(AFTER_TRAINING)] == [*range(step + 1, 6)]
    assert [done for done, message in rest if message.startswith("averaging")] == [0, 1]
    assert small.detections(tmp_path / "parts" / "work") == small.detections(tmp_path / "whole" / "work")
    assert parts.metrics == whole.metrics
    assert small.losses(tmp_path / "parts" / "work") == small.losses(tmp_path / "whole" / "work")


def test_wrong_weights_never_continue_a_run(boxes, tmp_path, monkeypatch) -> None:
    """The proof of arrival is done on the fresh detector, before its state is restored."""
    from mmbench.transfer.dense.detection import run as detection_run

    overrides = {**small.PYRAMID, "iterations": 4}
    with pytest.raises(Killed):
        run(boxes, tmp_path, overrides, SaveThenKill(monkeypatch, 2, 3))

    def lost(*given: Any) -> int:
        raise UserError("a tensor was lost")

    monkeypatch.setattr(detection_run, "check_arrival", lost)
    with pytest.raises(UserError, match="a tensor was lost"):
        run(boxes, tmp_path, overrides)


def test_random_states_return_exactly_and_another_number_of_processes_is_noted() -> None:
    notes: list[str] = []
    states = Randomness(torch.device("cpu"), notes)
    saved = states.state_dict()
    drawn = torch.rand(3).tolist(), random.random(), np.random.rand(2).tolist()
    states.load_state_dict(saved)
    assert (torch.rand(3).tolist(), random.random(), np.random.rand(2).tolist()) == drawn
    assert notes == []
    states.load_state_dict({"processes": [*saved["processes"], *saved["processes"]]})
    assert len(notes) == 1 and notes[0].startswith("continued by 1 processes after 2: ")
