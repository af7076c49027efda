"""Task `dense` as a whole: its numbers, the bank, continuation, processes, and what it refuses."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import timm
import torch
import two_dense
from forked import run_in_processes
from PIL import Image
from running import make_run, run_task
from small_scenes import CLASSES, SIZE, render
from torch import Tensor, nn

import mmbench
from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.records.store import Result, ResultStore
from mmbench.transfer import resume
from mmbench.transfer.controls import pixels_backbone, recalibrated_random_backbone
from mmbench.transfer.dense.probes.dry_run import dry_run_lines
from mmbench.transfer.dense.probes.preparation import prepared
from mmbench.transfer.dense.probes.training import train
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.job import TransferJob

SHORT = {"epochs": 4, "batch_size": 4}
LEOPART = {"epochs": 2, "decay_epochs": [1], "batch_size": 4, "crop": 32, "test_size": 32, "scored_size": 20}
DINOV3 = {
    "iterations": 4,
    "warmup_iterations": 2,
    "batch_size": 2,
    "crop": 32,
    "test_size": 24,
    "test_stride": 16,
}


def run(backbone: Backbone, data: Dataset, folder: Path, **asked: Any) -> Result:
    asked = {"protocol_id": "dense/patterns@1", "overrides": SHORT, "workers": 0, **asked}
    store = ResultStore(folder / "results")
    return run_task("dense", backbone, data, store, work=folder / "work", **asked)


def test_metrics_are_those_of_a_confusion_matrix(small: Backbone, scenes: Dataset, tmp_path: Path) -> None:
    result = run(small, scenes, tmp_path)
    job = TransferJob(
        make_run("dense", small, scenes, protocol_id="dense/patterns@1", overrides=SHORT), tmp_path
    )
    settings: Any = job.run.task.settings
    ready = prepared(job, settings)
    head, _ = train(job, ready, settings)
    confusion = np.zeros((3, 3), np.int64)
    for path in sorted((scenes.root / "images" / "test").glob("*.png")):
        pixels = torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1)[None]
        truth = np.asarray(Image.open(scenes.root / "segmentation" / "test" / path.name))
        with torch.no_grad():
            scores = head(ready.network.maps(pixels))
        full = nn.functional.interpolate(scores, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
        found = full[0].argmax(0).numpy()
        for row, column in zip(*np.nonzero(truth != 255), strict=True):
            confusion[truth[row, column], found[row, column]] += 1
    hits = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - hits
    assert (union > 0).all() and hits.sum() > 0
    assert result.metrics["mIoU"].value == pytest.approx(100 * np.mean(hits / union), abs=1e-9)
    assert result.metrics["aAcc"].value == pytest.approx(100 * hits.sum() / confusion.sum(), abs=1e-9)
    assert result.per_class == pytest.approx(
        dict(zip(("background", *CLASSES), 100 * hits / union, strict=True)), abs=1e-9
    )
    assert result.dataset.split_sizes == {"train": 12, "test": 6} and result.effective_lr == 0.03
    (table,) = (tmp_path / "results").rglob("*.images.parquet")
    for figure in ("losses.png", "predictions.png"):
        assert len(list((tmp_path / "results").rglob(f"*.{figure}"))) == 1
    counts = pd.read_parquet(table)
    assert counts.groupby("class", observed=False)["intersection"].sum().tolist() == hits.tolist()


def test_a_second_probe_takes_its_maps_from_the_bank(
    small: Backbone, scenes: Dataset, tmp_path: Path
) -> None:
    bank = FeatureBank(tmp_path / "bank")
    first = run(small, scenes, tmp_path, bank=bank)
    assert bank.computed == 12 + 6 and first.images_per_second is not None
    second = run(small, scenes, tmp_path, bank=bank, overrides={**SHORT, "learning_rate": 0.1})
    assert bank.computed == 12 + 6 and second.images_per_second is None
    assert any("features came from the feature bank" in note for note in second.notes)
    alone = run(small, scenes, tmp_path / "alone")
    assert alone.metrics == first.metrics
    crops = {**SHORT, "crop": 32, "test_size": 32}
    run(small, scenes, tmp_path, bank=bank, protocol_id="dense/own@1", overrides=crops)
    assert bank.computed == 12 + 6 + 6, "another geometry is another entry; crops are not stored"


@pytest.mark.parametrize(
    ("protocol", "overrides"), [("dense/linear-leopart@1", LEOPART), ("dense/linear-dinov3@1", DINOV3)]
)
def test_the_published_protocols_run(
    small: Backbone, scenes: Dataset, tmp_path: Path, protocol: str, overrides: dict[str, Any]
) -> None:
    result = run(small, scenes, tmp_path, protocol_id=protocol, overrides=overrides)
    assert result.dataset.split_sizes == {"train": 12, "val": 6} and 0 <= result.metrics["mIoU"].value <= 100
    assert result.metrics["mIoU"].n == 6
    total = pd.read_parquet(next((tmp_path / "results").rglob("*.parquet")))["labelled"].sum()
    whole = 6 * (SIZE**2 - 18**2 + 16**2)
    assert total == whole if protocol.endswith("dinov3@1") else 0 < total < 6 * 20**2


class KilledError(Exception):
    """The process is gone."""


@pytest.mark.parametrize("protocol", ["dense/patterns@1", "dense/linear-dinov3@1"])
def test_kills_change_nothing(
    small: Backbone, scenes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """Ten kills at random steps; dropout and crops are drawn as without them."""
    monkeypatch.setattr(resume, "SAVE_EVERY_SECONDS", 0.0)
    overrides = SHORT if protocol.endswith("patterns@1") else {**DINOV3, "iterations": 12}
    asked: dict[str, Any] = {"protocol_id": protocol, "overrides": overrides}
    whole = run(small, scenes, tmp_path / "whole", **asked)
    steps, rng = [0], np.random.default_rng(0)
    for at in sorted(rng.permutation(np.arange(2, 13))[:10].tolist()):

        def kill(done: int, total: int, message: str, at: int = at) -> None:
            if "loss" in message:
                steps.append(done)
                if done == at:
                    raise KilledError

        with pytest.raises(KilledError):
            run(small, scenes, tmp_path / "parts", report=kill, **asked)
        assert steps[-1] == at
    parts = run(small, scenes, tmp_path / "parts", **asked)
    assert parts.metrics == whole.metrics and parts.per_class == whole.per_class
    tables = [
        next((tmp_path / name / "results").rglob("*.parquet")).read_bytes() for name in ("whole", "parts")
    ]
    assert tables[0] == tables[1]
    assert not (tmp_path / "parts" / "results" / ".unfinished").exists()


def test_a_stop_is_obeyed_after_the_step(small: Backbone, scenes: Dataset, tmp_path: Path) -> None:
    def stop(done: int, total: int, message: str) -> None:
        if done == 3 and "loss" in message:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        run(small, scenes, tmp_path, report=stop)
    seen: list[int] = []

    def note(done: int, total: int, message: str) -> None:
        if "loss" in message:
            seen.append(done)

    rest = run(small, scenes, tmp_path, report=note)
    assert seen[0] == 4 and rest.metrics == run(small, scenes, tmp_path / "whole").metrics


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tmp_path: Path) -> None:
    render(tmp_path / "scenes", {"train": 8, "test": 5})
    run_in_processes(two_dense.__file__, tmp_path)
    alone = two_dense.measure(tmp_path / "alone", tmp_path / "scenes")
    for rank in range(2):
        lines = (tmp_path / f"records-{rank}.txt").read_text().splitlines()
        together = [Result.model_validate_json(line) for line in lines]
        for one, two in zip(alone, together, strict=True):
            assert two.metrics["mIoU"].n == 5
            for name, metric in one.metrics.items():
                assert two.metrics[name].value == pytest.approx(metric.value, abs=1.0)


def test_images_of_several_sizes(small: Backbone, uneven: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="images of train differ in size, so their maps cannot be kept"):
        run(small, uneven, tmp_path)
    crops = {**SHORT, "augmentation": "resized-crop", "crop": 32}
    result = run(small, uneven, tmp_path, overrides=crops, bank=FeatureBank(tmp_path / "bank"))
    labelled = pd.read_parquet(next((tmp_path / "results").rglob("*.parquet")))["labelled"].sum()
    assert labelled == sum(size**2 - 18**2 + 16**2 for size in (SIZE, 40, SIZE, 40))
    assert result.metrics["mIoU"].n == 4


def test_controls(scenes: Dataset, tmp_path: Path) -> None:
    pixels = run(pixels_backbone(SIZE), scenes, tmp_path)
    assert any("the pixels of each 8 x 8 square" in note for note in pixels.notes)
    random = recalibrated_random_backbone("mixmask_resnet8", 0, scenes)
    result = run(random, scenes, tmp_path)
    assert result.model.arm == "random" and "batch_norm" in result.model.origins


def test_a_model_of_timm_is_measured_in_python(scenes: Dataset, tmp_path: Path) -> None:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    (result,) = mmbench.evaluate(
        model,
        "dense",
        scenes,
        protocol="dense/own@1",
        overrides={"epochs": 1, "batch_size": 6, "crop": 40, "test_size": 40},
        out=tmp_path / "results",
        device="cpu",
        workers=0,
    )
    assert result.model.arch == "vit_tiny_patch16_224" and "mIoU" in result.metrics
    assert any("(patch tokens)" in note for note in result.notes)
    assert any("fed at 32 instead of 40 px" in note for note in result.notes)
    with pytest.raises(UserError, match="no label maps"):
        mmbench.evaluate(model, "dense", Dataset("plain", tmp_path, ("a", "b")), out=tmp_path, device="cpu")


class Pooled:
    name, identity, preprocessing = "pooled", "pooled-1", mmbench.Preprocessing(image_size=SIZE)

    def encode(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


def test_an_encoder_without_maps_is_refused_in_one_line(scenes: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="encoder pooled has no method encode_dense") as error:
        mmbench.evaluate(Pooled(), "dense", scenes, out=tmp_path, device="cpu")
    assert "\n" not in str(error.value) and not list(tmp_path.rglob("*.json"))


def test_the_dry_run_says_what_a_run_would_do(small: Backbone, scenes: Dataset, tmp_path: Path) -> None:
    job = TransferJob(make_run("dense", small, scenes, protocol_id="dense/patterns@1"), tmp_path)
    lines = "\n".join(dry_run_lines(job, job.run.task.settings))  # type: ignore[arg-type]
    assert "stride 8, 128 channels" in lines and "scored on 6 images of test" in lines
    assert "20 steps of 16 of 12 images, adamw, learning rate 0.03" in lines


def test_a_diverged_training_is_one_line(small: Backbone, scenes: Dataset, tmp_path: Path) -> None:
    rates = {**SHORT, "optimizer": "sgd", "learning_rate": 1e38, "batch_norm": False, "schedule": "constant"}
    with pytest.raises(UserError, match="the dense probe diverged"):
        run(small, scenes, tmp_path, overrides=rates)
    assert not list(tmp_path.rglob("*.json*.parquet"))
