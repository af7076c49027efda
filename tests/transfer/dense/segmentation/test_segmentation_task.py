"""The task end to end, with real mmsegmentation training: records, order, seeds, quiet, weights."""

from __future__ import annotations

import multiprocessing
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from running import run_task

from mmbench.checkpoints.backbone import Backbone, random_backbone
from mmbench.checkpoints.card import HighPass, Preprocessing
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.records.store import Result, ResultStore

QUICK = {"iterations": 2, "warmup_iterations": 0, "crop": 48, "batch_size": 2, "bfloat16": False}


def backbone(arch: str = "mixmask_resnet8", **preprocessing: Any) -> Backbone:
    return random_backbone(arch, 0, Preprocessing(image_size=32, **preprocessing))


def without(source: Backbone, name: str) -> Backbone:
    return replace(source, state_dict={key: value for key, value in source.state_dict.items() if key != name})


def measure(weights: Backbone, dataset: Dataset, folder: Path, seed: int = 0, **overrides: Any) -> Result:
    return run_task(
        "segmentation",
        weights,
        dataset,
        ResultStore(folder / "results"),
        work=folder / "work",
        seed=seed,
        device=torch.device("cpu"),
        overrides={**QUICK, **overrides},
    )


def confusion_metrics(folder: Path, label_maps: Path, classes: int) -> dict[str, float]:
    """Recompute the metrics from prediction and label PNGs with a plain confusion matrix."""
    confusion = np.zeros((classes, classes), dtype=np.int64)
    for path in sorted(label_maps.glob("*.png")):
        truth, predicted = np.asarray(Image.open(path)), np.asarray(Image.open(folder / path.name))
        for true in range(classes):
            for guess in range(classes):
                confusion[true, guess] += int(((truth == true) & (predicted == guess)).sum())
    hits, true_pixels, guessed_pixels = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    return {
        "mIoU": float(100 * np.mean(hits / (true_pixels + guessed_pixels - hits))),
        "mAcc": float(100 * np.mean(hits / true_pixels)),
        "aAcc": float(100 * hits.sum() / confusion.sum()),
    }


def mmsegmentation_metrics(folder: Path, label_maps: Path) -> dict[str, float]:
    """Recompute the metrics from prediction and label PNGs with mmsegmentation's IoUMetric."""
    from mmseg.evaluation import IoUMetric

    metric = IoUMetric(iou_metrics=["mIoU"])
    metric.dataset_meta = {"classes": ("background", "a", "b", "c")}
    for path in sorted(label_maps.glob("*.png")):
        truth, predicted = (
            torch.from_numpy(np.array(Image.open(place)).astype(np.int64))[None]
            for place in (path, folder / path.name)
        )
        metric.process({}, [{"pred_sem_seg": {"data": predicted}, "gt_sem_seg": {"data": truth}}])
    return metric.compute_metrics(metric.results)


def test_small_network_learns_and_its_metrics_are_right(
    rectangles: Dataset,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trained end to end through TIMMBackbone; the numbers equal a confusion matrix of its predictions."""
    from mmbench.transfer.dense.common.pixel_outcomes import PixelOutcomes

    add, predictions = PixelOutcomes.add, tmp_path / "predictions"
    predictions.mkdir()

    def with_predictions(
        self: PixelOutcomes, name: str, predicted: torch.Tensor, truth: torch.Tensor
    ) -> None:
        Image.fromarray(predicted.numpy().astype(np.uint8)).save(predictions / Path(name).name)
        add(self, name, predicted, truth)

    monkeypatch.setattr(PixelOutcomes, "add", with_predictions)
    steps: list[tuple[int, int, str]] = []
    store = ResultStore(tmp_path / "results")
    capfd.readouterr()
    result = run_task(
        "segmentation",
        backbone(),
        rectangles,
        store,
        work=tmp_path / "work",
        device=torch.device("cpu"),
        overrides={"iterations": 40, "warmup_iterations": 5, "crop": 48, "bfloat16": True},
        report=lambda done, total, words: steps.append((done, total, words)),
    )
    terminal = capfd.readouterr()
    assert (terminal.out, terminal.err) == ("", "")
    assert list(store) == [result]
    assert result.primary_metric == "mIoU"
    assert {name: metric.n for name, metric in result.metrics.items()} == {"mIoU": 10, "mAcc": 10, "aAcc": 10}
    assert result.dataset.split_sizes == {"train": 24, "test": 10}
    assert result.effective_lr == result.config["learning_rate"]

    assert rectangles.scenes is not None
    expected = confusion_metrics(predictions, rectangles.scenes.segmentation("test"), classes=4)
    assert {name: metric.value for name, metric in result.metrics.items()} == pytest.approx(
        expected, abs=0.01
    )
    assert result.metrics["mIoU"].value > 35  # all background gives 20
    for name, value in mmsegmentation_metrics(predictions, rectangles.scenes.segmentation("test")).items():
        assert result.metrics[name].value == pytest.approx(value, abs=0.006), "it rounds to two digits"
    ((path, _),) = store.items()
    counts = pd.read_parquet(path.with_suffix(".images.parquet"))
    sums = counts.groupby("class", observed=False)[["intersection", "union"]].sum()
    assert result.metrics["mIoU"].value == pytest.approx(
        float((100 * sums["intersection"] / sums["union"]).mean())
    )
    assert counts["image"].nunique() == 10

    assert [step[:2] for step in steps[:40]] == [(done, 40) for done in range(1, 41)]
    assert "loss" in steps[39][2]
    assert "evaluating" in steps[-1][2]
    assert list((tmp_path / "work").rglob("*.log"))
    assert not list((tmp_path / "work").rglob("*.pth")), "nobody asked for checkpoints"


def test_same_seed_same_numbers_and_the_process_is_left_as_it_was(
    rectangles: Dataset, tmp_path: Path
) -> None:
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer

    managers = (MMLogger, MessageHub, Visualizer, DefaultScope)

    def state() -> tuple[Any, ...]:
        counts = [len(manager._instance_dict) for manager in managers]
        return counts, random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()

    start_method = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method("spawn", force=True)
    try:
        before = state()
        longer = {"iterations": 6}
        first = measure(backbone(), rectangles, tmp_path / "1", **longer)
        assert state() == before
        assert multiprocessing.get_start_method() == "spawn"
    finally:
        multiprocessing.set_start_method(start_method, force=True)
    random.random(), torch.rand(3), np.random.rand(2)
    again = measure(backbone(), rectangles, tmp_path / "2", **longer)
    other = measure(backbone(), rectangles, tmp_path / "3", seed=1, **longer)
    assert again.metrics == first.metrics
    assert other.metrics != first.metrics


@pytest.mark.parametrize(
    ("arch", "overrides"),
    [
        ("mixmask_resnet18", {"output_stride": 8, "auxiliary_weight": 0.4, "head_concat": True}),
        ("resnet18.a1_in1k", {"output_stride": 16, "optimizer": "adamw", "learning_rate": 1e-3}),
        ("convnext_atto", {"finest_stride": 8}),
        ("mixmask_resnet18_cifar", {"finest_stride": 4, "train_images": 5}),
    ],
)
def test_other_networks_train(
    arch: str, overrides: dict[str, Any], rectangles: Dataset, tmp_path: Path
) -> None:
    """Plain ResNets through mmseg's ResNet, the rest through TIMMBackbone; MSCN's filter is on record."""
    weights = backbone(arch, high_pass=HighPass(kernel_size=3, sigma=0.7))
    result = measure(weights, rectangles, tmp_path, **overrides)
    arrived = [note for note in result.notes if "bit for bit" in note]
    behind = 2 if arch == "convnext_atto" else 0  # its final norm
    assert arrived[0].startswith(f"{len(weights.state_dict) - behind} backbone tensors")
    assert any("high-passed" in note and "kernel 3 px" in note for note in result.notes)
    assert result.dataset.split_sizes["train"] == overrides.get("train_images", 24)
    assert 0 <= result.metrics["mIoU"].value <= 100


@pytest.mark.parametrize(
    ("arch", "name"),
    [("mixmask_resnet8", "layer2.0.bn1.weight"), ("mixmask_resnet18", "layer3.1.conv2.weight")],
)
def test_checkpoint_without_one_tensor_is_refused(
    arch: str, name: str, rectangles: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=name):
        measure(without(backbone(arch), name), rectangles, tmp_path)
    assert not list(tmp_path.rglob("results/**/*.json"))


def test_tensor_that_mmengine_lets_slip_is_noticed(
    rectangles: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mmengine loads a file without one tensor and goes on; nothing may be trained then."""
    import mmbench.checkpoints.writing as writing

    def lossy(source: Backbone, path: Path) -> None:
        torch.save({"state_dict": without(source, "layer4.0.downsample.0.weight").state_dict}, path)

    monkeypatch.setattr(writing, "write_for_mmseg", lossy)
    done: list[int] = []
    with pytest.raises(UserError, match=r"did not arrive whole.*layer4\.0\.downsample\.0\.weight"):
        run_task(
            "segmentation",
            backbone("mixmask_resnet18"),
            rectangles,
            ResultStore(tmp_path / "results"),
            work=tmp_path / "work",
            device=torch.device("cpu"),
            overrides=QUICK,
            report=lambda step, total, words: done.append(step),
        )
    assert done == []


def test_diverging_training_is_reported(rectangles: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"diverged.*learning_rate"):
        measure(backbone(), rectangles, tmp_path, learning_rate=1e30, iterations=4)


@pytest.mark.parametrize("value", [float("nan"), 3e38])
def test_divergence_in_the_last_iteration_leaves_no_record(
    rectangles: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    """The losses were fine. 3e38 is finite, but the scores computed with it are not."""
    from mmbench.transfer.dense.segmentation.runner import QuietRunner

    train = QuietRunner.train

    def diverging(self: QuietRunner) -> None:
        train(self)
        with torch.no_grad():
            self.model.decode_head.conv_seg.weight.fill_(value)

    monkeypatch.setattr(QuietRunner, "train", diverging)
    with pytest.raises(
        UserError, match=r"segmentation diverged .*not finite.*--set learning_rate="
    ) as caught:
        measure(backbone(), rectangles, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "results").rglob("*.json"))


def relabel(dataset: Dataset, split: str, old: int | None, new: int) -> None:
    """Give one label (or, of None, every label) of a split's maps another value."""
    assert dataset.scenes is not None
    for path in dataset.scenes.segmentation(split).glob("*.png"):  # type: ignore[arg-type]
        labels = np.asarray(Image.open(path)).copy()
        labels[(labels == old) if old is not None else ...] = new
        Image.fromarray(labels).save(path)


def test_label_maps_that_are_all_ignored_end_the_run(own_rectangles: Dataset, tmp_path: Path) -> None:
    relabel(own_rectangles, "test", None, 255)
    with pytest.raises(UserError, match="nothing can be measured") as caught:
        measure(backbone(), own_rectangles, tmp_path)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "results").rglob("*.json"))


def test_a_class_that_is_absent_is_left_out_of_the_mean_and_said(
    own_rectangles: Dataset, tmp_path: Path
) -> None:
    relabel(own_rectangles, "test", 2, 1)
    result = measure(backbone(), own_rectangles, tmp_path)
    (note,) = [note for note in result.notes if note.startswith("not in ")]
    assert "cool" in note.partition(";")[0]
    assert all(0 <= metric.value <= 100 for metric in result.metrics.values())
