"""A segmentation training that was interrupted goes on as if it had not been."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_segmentors as small
import torch
from running import run_task
from small_detectors import AFTER_TRAINING, Killed, SaveThenKill

from mmbench.checkpoints.backbone import random_backbone
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.records.store import Result, ResultStore
from mmbench.transfer import resume
from mmbench.transfer.dense.common import history
from mmbench.transfer.dense.common.pixel_outcomes import PixelOutcomes

KILLS = {"plain": 3, "timm": 3, "upernet": 4}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small.write_scenes(tmp_path_factory.mktemp("scenes"), {"train": 7, "test": 4})


@pytest.fixture(autouse=True)
def every_iteration_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "WINDOW", 1)
    monkeypatch.setattr(resume, "SAVE_EVERY_SECONDS", float("inf"))


@pytest.fixture
def predictions(monkeypatch: pytest.MonkeyPatch) -> small.Predictions:
    kept = small.Predictions()
    monkeypatch.setattr(PixelOutcomes, "add", kept.function())
    return kept


def run(
    scenes: Dataset, folder: Path, kind: str, iterations: int, report: Any = None, **asked: Any
) -> Result:
    """Measure once; what other tests drew before must not matter."""
    torch.rand(int(random.random() * 9) + 1)
    arch, overrides = small.SEGMENTORS[kind]
    return run_task(
        "segmentation",
        random_backbone(arch, 0),
        scenes,
        ResultStore(folder / "results"),
        work=folder / "work",
        overrides={**overrides, "iterations": iterations},
        report=report,
        seed=1,
        **{"workers": 0, **asked},
    )


@pytest.mark.parametrize("kind", small.SEGMENTORS)
def test_kills_change_no_prediction(scenes, tmp_path, monkeypatch, predictions, kind) -> None:
    """Each session saves once and is killed later, so that iterations are repeated as well."""
    iterations = 2 * KILLS[kind] + 2
    whole = run(scenes, tmp_path / "whole", kind, iterations)
    expected = predictions.taken()
    rng, reached = np.random.default_rng(5), 0
    for _ in range(KILLS[kind]):
        save_at = reached + int(rng.integers(1, 3))
        kill_at = save_at + int(rng.integers(1, 3))
        report = SaveThenKill(monkeypatch, save_at, kill_at)
        with pytest.raises(Killed):
            run(scenes, tmp_path / "parts", kind, iterations, report)
        assert report.seen[0] == reached + 1, "it goes on where the state is"
        reached = save_at
        assert 1 <= len(list((tmp_path / "parts").rglob("step-*.pth"))) <= 2
    rest = SaveThenKill(monkeypatch, 0, 0)
    parts = run(scenes, tmp_path / "parts", kind, iterations, rest)
    assert rest.seen == list(range(reached + 1, iterations + 1))
    assert small.same(predictions.taken(), expected)
    assert len({predicted.tobytes() for predicted in expected.values()}) > 1
    assert "images of 2 sizes: only those of equal size are evaluated in one batch" in whole.notes
    assert parts.metrics == whole.metrics and parts.per_class == whole.per_class
    lines = small.losses(tmp_path / "parts" / "work")
    assert lines == small.losses(tmp_path / "whole" / "work") and len(lines) == iterations
    assert len({line["lr"] for line in lines}) == iterations, "the schedule goes on"
    assert not (tmp_path / "parts" / "results" / ".unfinished").exists()


@pytest.mark.parametrize(("number", "step"), [(signal.SIGTERM, 3), (signal.SIGINT, 5)])
def test_a_stop_is_obeyed_after_the_iteration_and_continued(
    scenes, tmp_path, predictions, number, step
) -> None:
    """At the last iteration too, where the evaluation is still to come; with workers and without."""
    whole = run(scenes, tmp_path / "whole", "timm", 5, workers=1)
    expected = predictions.taken()

    def stop(done: int, total: int, message: str) -> None:
        if done == step and not message.startswith(AFTER_TRAINING):
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        run(scenes, tmp_path / "parts", "timm", 5, stop, workers=2)
    assert not list((tmp_path / "parts" / "results").rglob("*.json"))
    rest = list[int]()

    def seen(done: int, total: int, message: str) -> None:
        if not message.startswith(AFTER_TRAINING):
            rest.append(done)

    parts = run(scenes, tmp_path / "parts", "timm", 5, seen)
    assert rest == [*range(step + 1, 6)]
    assert small.same(predictions.taken(), expected)
    assert parts.metrics == whole.metrics
    assert small.losses(tmp_path / "parts" / "work") == small.losses(tmp_path / "whole" / "work")


def test_wrong_weights_never_continue_a_run(scenes, tmp_path, monkeypatch) -> None:
    """The proof of arrival is done on the fresh network, before its state is restored."""
    from mmbench.transfer.dense.segmentation import preparation

    with pytest.raises(Killed):
        run(scenes, tmp_path, "timm", 4, SaveThenKill(monkeypatch, 2, 3))

    def lost(*given: Any) -> int:
        raise UserError("a tensor was lost")

    monkeypatch.setattr(preparation, "check_arrival", lost)
    with pytest.raises(UserError, match="a tensor was lost"):
        run(scenes, tmp_path, "timm", 4)
