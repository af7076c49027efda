"""The images of data for detection and segmentation, where only images are looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from annotated_layouts import rectangles, write_coco, write_yolo
from PIL import Image

from mmbench.data import Dataset, Scenes, load_dataset
from mmbench.data.plain_images import plain_images
from mmbench.errors import UserError


def test_images_with_boxes_have_no_labels_and_their_own_size(tmp_path: Path) -> None:
    write_yolo(tmp_path / "set", rectangles({"train": 5, "val": 2}))
    found = plain_images(load_dataset(str(tmp_path / "set")))
    assert set(found.files) == {"train", "test"} and found.image_size == 64  # val and test are one part
    assert found.labels("train").tolist() == [0] * 5
    assert found.split("train").images.shape == (5, 3, 80, 80)
    assert found.fingerprint == plain_images(load_dataset(str(tmp_path / "set"))).fingerprint


def test_large_images_are_fed_at_224(tmp_path: Path) -> None:
    write_coco(tmp_path / "set", rectangles({"train": 2, "test": 2}, size=(400, 300)))
    assert plain_images(load_dataset(str(tmp_path / "set"))).image_size == 224


def test_scenes_give_their_images(tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / "images" / "train" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (number, 0, 0)).save(path)
    found = plain_images(Dataset("own", tmp_path, ("a",), {}, scenes=Scenes(tmp_path, ("a",))))
    assert found.image_size == 30 and torch.equal(found.labels("train"), torch.zeros(3, dtype=torch.int64))


def test_data_with_classes_stay_as_they_are(tmp_path: Path) -> None:
    dataset = Dataset("own", tmp_path, ("a", "b"), {"train": lambda: None})  # type: ignore[dict-item, return-value]
    assert plain_images(dataset) is dataset


def test_what_is_refused_in_a_run_is_refused_here(tmp_path: Path) -> None:
    root = write_yolo(tmp_path / "set", rectangles({"train": 5, "val": 2}))
    (root / "labels/train/train-0001.txt").write_text("9 .5 .5 .1 .1\n")
    with pytest.raises(UserError, match="line 1: class 9 is not one of the 3 classes"):
        plain_images(load_dataset(str(root)))
    empty = Dataset("own", tmp_path, ("a",), {}, scenes=Scenes(tmp_path / "nothing", ("a",)))
    with pytest.raises(UserError, match="has no training images"):
        plain_images(empty)
