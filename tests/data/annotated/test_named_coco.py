"""COCO 2017 as unzipped: found where it is, read lazily, with COCO's own classes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from annotated_layouts import rectangles, write_coco_official, write_json
from detectron2.data.datasets.builtin_meta import (
    COCO_CATEGORIES,
    COCO_PERSON_KEYPOINT_FLIP_MAP,
    COCO_PERSON_KEYPOINT_NAMES,
)

from mmbench.data import load_dataset
from mmbench.data.annotated.named_coco import CLASSES, KEYPOINTS
from mmbench.data.plain_images import plain_images
from mmbench.errors import UserError


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMBENCH_DATA", raising=False)
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return write_coco_official(tmp_path / "data" / "coco").parent


def test_classes_and_keypoints_are_those_of_detectron2() -> None:
    assert [item["name"] for item in COCO_CATEGORIES if item["isthing"]] == list(CLASSES)
    assert KEYPOINTS == COCO_PERSON_KEYPOINT_NAMES


def test_coco(home: Path) -> None:
    dataset = load_dataset("coco", home)
    data = dataset.require_annotated()
    assert data.classes == CLASSES and list(data.finders) == ["train", "val"] and data.name == "coco"
    truth = rectangles({"train": 4, "val": 2}, CLASSES)
    for split in ("train", "val"):
        drawn = truth.splits[split]
        read = data.split(split)
        assert [image.path for image in read.images] == [f"{split}2017/{image.name}.jpg" for image in drawn]
        assert [[(item.label, item.box) for item in image.instances] for image in read.images] == [
            [(thing.label, thing.box) for thing in image.things] for image in drawn
        ]
        assert {finding.action for finding in read.findings} == {"kept"}  # classes without objects


def test_images_in_a_folder_of_their_own(home: Path) -> None:
    (home / "coco" / "images").mkdir()
    for split in ("train", "val"):
        (home / "coco" / f"{split}2017").rename(home / "coco" / "images" / f"{split}2017")
    data = load_dataset("coco", home).require_annotated()
    assert data.split("val").images[0].path == "images/val2017/val-0000.jpg"


def test_keypoints(home: Path) -> None:
    data = load_dataset("coco-keypoints", home).require_annotated()
    assert data.classes == ("person",) and data.keypoints == KEYPOINTS
    assert data.keypoint_flips == COCO_PERSON_KEYPOINT_FLIP_MAP
    first = data.split("val").images[0].instances[0]
    assert first.keypoints == (first.box[0] + 1, first.box[1] + 2, 2.0, *[0.0] * 48)


def test_damaged_keypoints_are_refused(home: Path) -> None:
    path = home / "coco" / "annotations" / "person_keypoints_val2017.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["keypoints"].pop()
    write_json(path, content)
    (finding,) = load_dataset("coco-keypoints", home).require_annotated().split("val").findings
    assert finding.action == "refused" and "17 keypoints" in finding.line()


def test_places_of_detectron2(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(home))
    for name in ("coco", "coco-keypoints"):
        assert load_dataset(name, tmp_path / "elsewhere").root == home / "coco"
    monkeypatch.delenv("DETECTRON2_DATASETS")
    load_dataset.cache_clear()
    with pytest.raises(
        UserError, match=r"'coco' is not there; put annotations/instances_train2017.json, .*elsewhere"
    ):
        load_dataset("coco", tmp_path / "elsewhere")


def test_nothing_is_read_before_a_split_is_needed(home: Path) -> None:
    for path in (home / "coco" / "annotations").iterdir():
        path.write_text("not JSON")
    data = load_dataset("coco", home).require_annotated()
    with pytest.raises(UserError, match=r"instances_val2017\.json, line 1: not valid JSON"):
        data.split("val")


def test_a_missing_image_of_a_published_set_is_refused_in_train_too(home: Path) -> None:
    (home / "coco" / "train2017" / "train-0000.jpg").unlink()
    findings = load_dataset("coco", home).require_annotated().split("train").findings
    assert findings[0].action == "refused" and "1 image that is missing" in findings[0].line()


def test_pretraining_uses_the_images_of_train_without_labels(home: Path) -> None:
    dataset = load_dataset("coco", home)
    assert dataset.classes == CLASSES and not dataset.splits
    plain = plain_images(dataset)
    assert len(plain.classes) == 1 and plain.split("train", fed=16).images.shape == (4, 3, 20, 20)
