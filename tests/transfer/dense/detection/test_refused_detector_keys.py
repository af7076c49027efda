"""Values that Detectron2 does not take for its own keys end a run, and its dry run, in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import small_detectors as small
import torch
from detectron2.config import get_cfg
from detectron2.solver import build_lr_scheduler
from running import run_task

from mmbench.checkpoints.backbone import Backbone, random_backbone
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.records.store import ResultStore
from mmbench.transfer.dense.detection.key_values import CHOICES
from mmbench.transfer.dense.detection.trainer import DetectionTrainer
from mmbench.transfer.dense.detection.trainer import _Steps as Steps
from mmbench.transfer.dry_run import plan
from mmbench.transfer.request import TransferRequest
from mmbench.transfer.resolution import resolve_task

WORDS = [
    ({"SOLVER.LR_SCHEDULER_NAME": "foo"}, "unknown SOLVER.LR_SCHEDULER_NAME 'foo' (known: WarmupCosineLR, "),
    (
        {"SOLVER.LR_SCHEDULER_NAME": "WarmupStepWithFixedGammaLR"},
        "(known: WarmupCosineLR, WarmupMultiStepLR)",
    ),
    ({"INPUT.RANDOM_FLIP": "both"}, "unknown INPUT.RANDOM_FLIP 'both' (known: horizontal, none, vertical)"),
    ({"INPUT.MIN_SIZE_TRAIN_SAMPLING": "range"}, "SAMPLING=range draws between two train_sizes, not 1;"),
    ({"MODEL.ROI_BOX_HEAD.POOLER_TYPE": "ROIalign"}, "POOLER_TYPE 'ROIalign'; did you mean 'ROIAlign'?"),
    ({"SOLVER.CLIP_GRADIENTS.CLIP_TYPE": "bar"}, "CLIP_TYPE 'bar' (known: norm, value)"),
    ({"INPUT.CROP.TYPE": "nope"}, "unknown INPUT.CROP.TYPE 'nope' (known: absolute, "),
]
BUILT = [
    ({"MODEL.ROI_BOX_HEAD.NAME": "foo"}, "No object named 'foo'"),
    ({"MODEL.ANCHOR_GENERATOR.NAME": "foo"}, "No object named 'foo'"),
    ({"MODEL.RPN.HEAD_NAME": "foo"}, "No object named 'foo'"),
]
RETINANET = {**small.SHORT, "fpn_channels": 16, "head_convs": 1}
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
        overrides={**(RETINANET if "detector" in keys else small.PYRAMID), "iterations": 3, **keys},
    )


def names(line: str, keys: dict[str, Any], reason: str) -> bool:
    """Whether the line names the first key with its value, says what is wrong, and is one line."""
    key, value = next(iter(keys.items()))
    return line.startswith("Detectron2 does not take ") and f"{key}={value}" in line and reason in line


@pytest.mark.parametrize(("keys", "reason"), WORDS, ids=lambda value: next(iter(value)))
def test_one_of_a_few_words_is_checked_before_data_and_weights(keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(UserError) as caught:
        resolve_task("detection", "detection/patterns@1", {"train_sizes": [64], **keys})
    assert reason in str(caught.value) and "\n" not in str(caught.value)


def test_a_scheduler_that_is_not_offered_fails_when_all_iterations_are_done() -> None:
    cfg = get_cfg()
    solver = cfg.SOLVER
    solver.LR_SCHEDULER_NAME, solver.MAX_ITER, solver.WARMUP_ITERS = "WarmupStepWithFixedGammaLR", 40, 0
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    scheduler = build_lr_scheduler(cfg, optimizer)
    for _ in range(39):
        optimizer.step()
        scheduler.step()
    with pytest.raises(IndexError):
        scheduler.step()


def test_a_range_of_two_sizes_is_taken() -> None:
    keys = {"INPUT.MIN_SIZE_TRAIN_SAMPLING": "range", "train_sizes": [48, 64]}
    assert resolve_task("detection", "detection/patterns@1", keys).settings.recorded()["library"] == {
        "INPUT.MIN_SIZE_TRAIN_SAMPLING": "range"
    }


@pytest.mark.parametrize("key", [key for key in CHOICES if "ROI_MASK" not in key and "KEYPOINT" not in key])
def test_detectron2_takes_the_words_that_are_known_and_no_other(
    key: str, backbone: Backbone, boxes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual: dict[str, Any] = {
        "train_sizes": [48, 64],
        "iterations": 1,
        "INPUT.CROP.ENABLED": True,
        "SOLVER.CLIP_GRADIENTS.ENABLED": True,
    }
    if key.startswith("MODEL.RETINANET"):
        usual["detector"], backbone = "retinanet", random_backbone("mixmask_resnet18", 0)
    known = CHOICES[key]
    monkeypatch.setitem(CHOICES, key, (*known, "foo"))
    for number, word in enumerate(known):
        size = [24, 32] if word.startswith("absolute") else [0.5, 0.5]
        train(backbone, boxes, tmp_path / str(number), {**usual, "INPUT.CROP.SIZE": size, key: word})
    with pytest.raises(UserError, match=f"Detectron2 does not take .*{key}=foo"):
        train(backbone, boxes, tmp_path / "other", {**usual, key: "foo"})


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
    keys, run_step = {"SOLVER.BIAS_LR_FACTOR": 0.5}, Steps.run_step

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
    with pytest.raises(UserError, match=r"does not take SOLVER.BIAS_LR_FACTOR=0\.5: a bug"):
        train(backbone, boxes, tmp_path / "keys", keys)


def test_a_training_that_diverges_is_not_called_a_wrong_key(
    backbone: Backbone, boxes: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="detection diverged"):
        train(backbone, boxes, tmp_path, {"SOLVER.BIAS_LR_FACTOR": 0.5, "learning_rate": 1e30})
