"""Values that Detectron2 does not take for its own keys end a run, and its dry run, in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import small_detectors as small
from running import run_task

from mmbench.checkpoints.backbone import Backbone, random_backbone
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.results import ResultStore
from mmbench.transfer.dense.detection.trainer import DetectionTrainer
from mmbench.transfer.dense.detection.trainer import _Steps as Steps
from mmbench.transfer.dry_run import plan
from mmbench.transfer.request import TransferRequest
from mmbench.transfer.resolution import resolve_task

BUILT = [
    ({"SOLVER.LR_SCHEDULER_NAME": "foo"}, "Unknown LR scheduler: foo"),
    ({"INPUT.RANDOM_FLIP": "both"}, "At least one of horiz or vert"),
    ({"INPUT.MIN_SIZE_TRAIN_SAMPLING": "range"}, "must be two values"),
    ({"MODEL.ROI_BOX_HEAD.POOLER_TYPE": "foo"}, "Unknown pooler type"),
    ({"MODEL.ROI_BOX_HEAD.NAME": "foo"}, "No object named 'foo'"),
    (
        {"SOLVER.CLIP_GRADIENTS.CLIP_TYPE": "bar", "SOLVER.CLIP_GRADIENTS.ENABLED": True},
        "'bar' is not a valid",
    ),
    ({"INPUT.CROP.TYPE": "nope", "INPUT.CROP.ENABLED": True}, "assert crop_type in"),
]
STEPPED = [({"MODEL.PROPOSAL_GENERATOR.NAME": "PrecomputedProposals"}, 'assert "proposals" in')]


@pytest.fixture
def backbone() -> Backbone:
    return random_backbone("mixmask_resnet8", 0)


@pytest.fixture
def boxes(tmp_path: Path) -> Dataset:
    return small.write_boxes(tmp_path / "data", {"train": 4, "test": 2})


def train(backbone: Backbone, boxes: Dataset, folder: Path, keys: dict[str, Any]) -> None:
    run_task(
        "detection",
        backbone,
        boxes,
        ResultStore(folder / "results"),
        work=folder / "work",
        overrides={**small.PYRAMID, "iterations": 3, **keys},
    )


def names(line: str, keys: dict[str, Any], reason: str) -> bool:
    """Whether the line names the first key with its value, says what is wrong, and is one line."""
    key, value = next(iter(keys.items()))
    return line.startswith("Detectron2 does not take ") and f"{key}={value}" in line and reason in line


@pytest.mark.parametrize(("keys", "reason"), BUILT + STEPPED, ids=lambda value: next(iter(value)))
def test_a_run_ends_in_one_line_before_its_first_step_is_done(
    backbone: Backbone, boxes: Dataset, tmp_path: Path, keys: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UserError) as caught:
        train(backbone, boxes, tmp_path, keys)
    assert names(str(caught.value), keys, reason) and "\n" not in str(caught.value)
    assert not list((tmp_path / "results").rglob("*.json"))


@pytest.mark.parametrize(("keys", "reason"), BUILT, ids=lambda value: next(iter(value)))
def test_a_dry_run_finds_what_the_run_would(
    backbone: Backbone, boxes: Dataset, tmp_path: Path, keys: dict[str, Any], reason: str
) -> None:
    asked = {**small.PYRAMID, "iterations": 3, **keys}
    task = resolve_task("detection", "detection/patterns@1", asked)
    request = TransferRequest((task,), backbone, boxes, out=tmp_path / "results", device="cpu", work=tmp_path)
    with pytest.raises(UserError) as caught:
        list(plan(request))
    assert names(str(caught.value), keys, reason)


def test_without_keys_or_after_the_first_step_an_error_keeps_its_traceback(
    backbone: Backbone, boxes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, run_step = {"SOLVER.GAMMA": 0.5}, Steps.run_step

    def broken_at_two(steps: Steps) -> None:
        if steps.iter == 1:
            raise ValueError("a bug")
        run_step(steps)

    with monkeypatch.context() as patched:
        patched.setattr(Steps, "run_step", broken_at_two)
        with pytest.raises(ValueError, match="a bug"):
            train(backbone, boxes, tmp_path / "late", keys)

    def broken(*given: Any) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(DetectionTrainer, "build_lr_scheduler", broken)
    with pytest.raises(ValueError, match="a bug"):
        train(backbone, boxes, tmp_path / "plain", {})
    with pytest.raises(UserError, match=r"does not take SOLVER.GAMMA=0\.5: a bug"):
        train(backbone, boxes, tmp_path / "keys", keys)


def test_a_training_that_diverges_is_not_called_a_wrong_key(
    backbone: Backbone, boxes: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="detection diverged"):
        train(backbone, boxes, tmp_path, {"SOLVER.GAMMA": 0.5, "learning_rate": 1e30})
