"""Values that mmsegmentation does not take for its own keys end a run in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.runner import Runner
from running import make_run, run_task
from small_segmentors import TIMM, write_scenes
from torch import nn

from mmbench.checkpoints.backbone import Backbone, random_backbone
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.records.store import ResultStore
from mmbench.transfer.dense.segmentation import hooks, images
from mmbench.transfer.dense.segmentation.preparation import dry_run, prepared
from mmbench.transfer.job import TransferJob

HEAD = "model.decode_head"
BUILT = [
    ({"train_pipeline.2.prob": 2.0}, "AssertionError in `assert 0 <= prob <= 1`"),
    ({f"{HEAD}.act_cfg.type": "foo"}, "foo is not in the mmseg::model registry"),
    ({f"{HEAD}.norm_cfg.type": "foo"}, "Cannot find None in registry"),
    ({"optim_wrapper.optimizer.momentum": -1.0}, "Invalid momentum value: -1"),
]
STEPPED = [({f"{HEAD}.loss_decode.class_weight": [1, 1]}, "weight tensor should be defined")]


@pytest.fixture
def backbone() -> Backbone:
    return random_backbone("mixmask_resnet8", 0)


@pytest.fixture
def scenes(tmp_path: Path) -> Dataset:
    return write_scenes(tmp_path / "data", {"train": 4, "test": 2})


def train(backbone: Backbone, scenes: Dataset, folder: Path, keys: dict[str, Any]) -> None:
    overrides = {**TIMM, "iterations": 3, **keys}
    store = ResultStore(folder / "results")
    run_task("segmentation", backbone, scenes, store, work=folder / "work", overrides=overrides)


def names(line: str, keys: dict[str, Any], reason: str) -> bool:
    """Whether the line names the key with its value and says what is wrong."""
    ((key, value),) = keys.items()
    return line.startswith(f"mmsegmentation does not take {key}={value}: ") and reason in line


@pytest.mark.parametrize(("keys", "reason"), BUILT + STEPPED, ids=lambda value: next(iter(value)))
def test_a_run_ends_in_one_line_before_its_first_step_is_done(
    backbone: Backbone, scenes: Dataset, tmp_path: Path, keys: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UserError) as caught:
        train(backbone, scenes, tmp_path, keys)
    assert names(str(caught.value), keys, reason) and "\n" not in str(caught.value)
    assert not list((tmp_path / "results").rglob("*.json"))


@pytest.mark.parametrize(("keys", "reason"), BUILT, ids=lambda value: next(iter(value)))
def test_a_dry_run_finds_what_the_run_would(
    backbone: Backbone, scenes: Dataset, tmp_path: Path, keys: dict[str, Any], reason: str
) -> None:
    run = make_run("segmentation", backbone, scenes, overrides={**TIMM, "iterations": 3, **keys})
    with pytest.raises(UserError) as caught:
        dry_run(TransferJob(run, tmp_path), run.task.settings)
    assert names(str(caught.value), keys, reason)


def test_a_part_of_an_argument_that_is_left_at_its_default_can_be_set(
    backbone: Backbone, scenes: Dataset, tmp_path: Path
) -> None:
    keys = {f"{HEAD}.act_cfg.type": "LeakyReLU"}
    kinds = []
    for overrides in (keys, {}):
        run = make_run("segmentation", backbone, scenes, overrides={**TIMM, **overrides})
        with prepared(TransferJob(run, tmp_path), run.task.settings) as ready:
            network, _ = ready.build(lambda runner: None, [])
            kinds.append({type(module) for module in network.segmentor.decode_head.modules()})
    assert nn.LeakyReLU in kinds[0] and nn.ReLU not in kinds[0]
    assert nn.ReLU in kinds[1] and nn.LeakyReLU not in kinds[1], "mmsegmentation's own default is not changed"


def test_without_keys_or_after_the_first_step_an_error_keeps_its_traceback(
    backbone: Backbone, scenes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys, read = {"optim_wrapper.optimizer.momentum": 0.8}, images.SceneReader.__call__

    def broken_in_the_evaluation(reader: images.SceneReader, index: int) -> Any:
        if not reader.train:
            raise ValueError("a bug")
        return read(reader, index)

    def broken_at_two(hook: hooks.ReportProgress, runner: Runner, batch_idx: int, data_batch: Any) -> None:
        if batch_idx == 1:
            raise ValueError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(hooks.ReportProgress, "before_train_iter", broken_at_two)
        with pytest.raises(ValueError, match="a bug"):
            train(backbone, scenes, tmp_path / "late", keys)
    monkeypatch.setattr(images.SceneReader, "__call__", broken_in_the_evaluation)
    with pytest.raises(ValueError, match="a bug"):
        train(backbone, scenes, tmp_path / "plain", {})
    with pytest.raises(UserError, match=r"momentum=0\.8: a bug"):
        train(backbone, scenes, tmp_path / "keys", keys)
