"""Masks as people have them: each is read right and said, or refused in one line before the training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from running import run_task
from small_segmentors import CLASSES, TIMM

from mmbench.checkpoints.backbone import random_backbone
from mmbench.checkpoints.card import Preprocessing
from mmbench.data import Dataset, Scenes
from mmbench.errors import UserError
from mmbench.records.store import Result, ResultStore

Change = Callable[[Path], None]
COLOURS = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]], np.uint8)  # of VOC
DARK = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.uint8)


def write_own(root: Path) -> None:
    """Write 4 training and 2 test images of 48 px that hold every class, and grey PNG masks."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("test", 2)):
        for folder in ("images", "segmentation"):
            (root / folder / split).mkdir(parents=True)
        for number in range(count):
            labels = np.zeros((48, 48), np.uint8)
            for label in (1, 2, 3):
                left = int(rng.integers(0, 30))
                labels[14 * label - 12 : 14 * label, left : left + 16] = label
            pixels = COLOURS[labels] + rng.integers(0, 90, (48, 48, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(root / "images" / split / f"{split}{number}.png")
            Image.fromarray(labels).save(root / "segmentation" / split / f"{split}{number}.png")


def masks(change: Callable[[np.ndarray[Any, Any]], Any], *splits: str) -> Change:
    """Return what rewrites the masks of splits, of all by default."""

    def rewrite(root: Path) -> None:
        for path in sorted((root / "segmentation").rglob("*.png")):
            if path.parent.name in (splits or ("train", "test")):
                changed = change(np.asarray(Image.open(path)).copy())
                (changed if isinstance(changed, Image.Image) else Image.fromarray(changed)).save(path)

    return rewrite


def measure(
    folder: Path, change: Change, classes: tuple[str, ...] = CLASSES, *, reduce_zero_label: bool = False
) -> Result:
    """Measure a changed data set with two steps of training; a refused one must come before them."""
    write_own(folder / "own")
    change(folder / "own")
    dataset = Dataset("own", folder / "own", classes, {}, 32, scenes=Scenes(folder / "own", classes))
    steps: list[int] = []
    try:
        return run_task(
            "segmentation",
            random_backbone("mixmask_resnet8", 0, Preprocessing(image_size=32)),
            dataset,
            ResultStore(folder / "results"),
            work=folder / "work",
            device=torch.device("cpu"),
            overrides={**TIMM, "iterations": 2, "crop": 48, "reduce_zero_label": reduce_zero_label},
            report=lambda done, total, words: steps.append(done),
        )
    except UserError:
        assert not steps, "refused before the training"
        raise


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """The record of the masks as they were written, and its folder."""
    folder = tmp_path_factory.mktemp("plain")
    return measure(folder, lambda root: None), folder


def test_files_lie_beside_the_record_and_give_its_metrics(plain: tuple[Result, Path]) -> None:
    result, folder = plain
    (record,) = (folder / "results").rglob("*.json")
    for ending in ("losses.png", "predictions.png"):
        with Image.open(record.with_suffix(f".{ending}")) as image:
            assert image.format == "PNG"
    table = pd.read_parquet(record.with_suffix(".images.parquet"))
    assert table["image"].nunique() == result.metrics["mIoU"].n == 2
    sums = table.groupby("class", observed=False)[["intersection", "union"]].sum()
    shares = 100 * sums["intersection"] / sums["union"]
    assert result.per_class == pytest.approx(shares.to_dict())
    assert result.metrics["mIoU"].value == pytest.approx(shares.mean())
    assert "no intervals: they need 20 evaluated images" in result.notes


@pytest.mark.parametrize(
    "change",
    [
        masks(lambda labels: np.stack([labels] * 3, -1)),
        masks(lambda labels: np.stack([labels, labels, labels, np.full_like(labels, 255)], -1)),
        masks(lambda labels: labels.astype(np.uint16)),
        masks(lambda labels: COLOURS[labels]),
    ],
    ids=["rgb_index", "rgba_index", "uint16", "voc_colours"],
)
def test_other_ways_to_write_the_same_labels_give_the_same_numbers(
    change: Change, plain: tuple[Result, Path], tmp_path: Path
) -> None:
    assert measure(tmp_path, change).metrics == plain[0].metrics


def test_masks_of_0_and_255_are_background_and_one_class_and_it_is_said(tmp_path: Path) -> None:
    def binary(labels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.where(labels > 0, 255, 0).astype(np.uint8)

    result = measure(tmp_path, masks(binary), ("lesion",))
    assert result.per_class is not None and set(result.per_class) == {"background", "lesion"}
    assert any("0 and 255" in note and "lesion" in note for note in result.notes)


def test_value_0_can_be_ignored_as_in_ade20k(tmp_path: Path) -> None:
    """The background counts neither in the mean nor among the classes, and the image's other pixels stay."""
    result = measure(tmp_path, lambda root: None, reduce_zero_label=True)
    assert result.per_class is not None and set(result.per_class) == set(CLASSES)
    assert any(note.startswith("pixels of value 0 count neither") for note in result.notes)
    (table,) = (tmp_path / "results").rglob("*.images.parquet")
    labelled = pd.read_parquet(table)["labelled"].sum()
    truth = [np.asarray(Image.open(path)) for path in (tmp_path / "own/segmentation/test").glob("*.png")]
    assert labelled == sum(int((labels > 0).sum()) for labels in truth)


def test_an_image_that_is_ignored_and_a_class_that_is_absent_are_said(tmp_path: Path) -> None:
    def change(root: Path) -> None:
        masks(lambda labels: np.where(labels == 2, 0, labels).astype(np.uint8), "test")(root)
        Image.new("L", (48, 48), 255).save(root / "segmentation/test/test1.png")
        (root / "segmentation/train/train3.png").unlink()

    result = measure(tmp_path, change)
    notes = " ".join(result.notes)
    for said in ("ignored everywhere", "not in the evaluated label maps: cool", "1 image without"):
        assert said in notes
    assert result.metrics["mIoU"].n == 2 and result.dataset.split_sizes["train"] == 3


def as_jpeg(root: Path) -> None:
    for path in (root / "segmentation/train").glob("*.png"):
        Image.open(path).save(path.with_suffix(".jpg"))
        path.unlink()


def truncated(root: Path) -> None:
    path = root / "images/test/test0.png"
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (masks(lambda labels: np.kron(labels, np.ones((2, 2), np.uint8)), "train"), "another size"),
        (masks(lambda labels: labels[::2, ::2], "test"), "another size"),
        (masks(lambda labels: np.full_like(labels, 255), "test"), "nothing can be measured"),
        (masks(lambda labels: DARK[labels]), "no palette explains"),
        (as_jpeg, "JPEG"),
        (truncated, "cannot be decoded"),
    ],
    ids=["larger", "smaller", "all_ignored_test", "dark_colours", "jpeg", "broken_image"],
)
def test_what_cannot_be_meant_is_refused_in_one_line(change: Change, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        measure(tmp_path, change)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "results").rglob("*.json"))
