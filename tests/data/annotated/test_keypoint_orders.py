"""Keypoints are matched by name: between files, and between the categories of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmbench.data.annotated.layout import find_own
from mmbench.data.annotated.types import AnnotatedData, AnnotatedSplit

PLACES = {"head": (5, 6), "tail": (30, 8), "hip": (20, 25)}


def write(root: Path, split: str, categories: dict[str, list[str] | None]) -> None:
    """Write an image with an object of each category, whose keypoints lie where their names belong."""
    (root / split).mkdir(parents=True)
    Image.new("RGB", (48, 40)).save(root / split / f"{split}.png")
    objects: list[dict[str, Any]] = []
    for number, names in enumerate(categories.values(), start=1):
        points = [value for name in names or PLACES for value in (*PLACES.get(name, (1, 1)), 2)]
        box = {"bbox": [2, 2, 40, 36], "area": 1440, "iscrowd": 0}
        objects.append({"id": number, "image_id": 1, "category_id": number, "keypoints": points, **box})
    content = {
        "images": [{"id": 1, "file_name": f"{split}.png", "width": 48, "height": 40}],
        "annotations": objects,
        "categories": [
            {"id": number, "name": name, **({"keypoints": names} if names else {})}
            for number, (name, names) in enumerate(categories.items(), start=1)
        ],
    }
    (root / f"{split}.json").write_text(json.dumps(content))


def opened(root: Path) -> AnnotatedData:
    data = find_own(root, "coco").annotated
    assert data is not None
    return data


def said(split: AnnotatedSplit) -> list[str]:
    """The lines on keypoints."""
    return [finding.line() for finding in split.findings if "keypoints" in finding.line()]


def test_another_order_in_the_test_file_is_followed(tmp_path: Path) -> None:
    write(tmp_path, "train", {"animal": ["head", "tail", "hip"]})
    write(tmp_path, "test", {"animal": ["tail", "hip", "head"]})
    data = opened(tmp_path)
    assert data.keypoints == ("head", "tail", "hip")
    for split in ("train", "test"):
        (instance,) = data.split(split).images[0].instances
        assert instance.keypoints == (5, 6, 2, 30, 8, 2, 20, 25, 2)
    assert said(data.split("train")) == []
    own = tmp_path.name
    assert said(data.split("test")) == [
        "test: 1 object's keypoints in another order (test/test.png) converted: those of 'animal' of "
        f"{own}/test.json are matched by name with those of 'animal' of {own}/train.json"
    ]


def test_categories_with_other_orders_and_with_none(tmp_path: Path) -> None:
    named: dict[str, list[str] | None] = {
        "cat": ["hip", "head", "tail"],
        "dog": None,
        "fox": ["tail", "hip", "head"],
    }
    write(tmp_path, "train", named)
    data = opened(tmp_path)
    split = data.split("train")
    cat, dog, fox = split.images[0].instances
    assert data.keypoints == ("hip", "head", "tail")
    assert cat.keypoints == fox.keypoints == (20, 25, 2, 5, 6, 2, 30, 8, 2)
    assert dog.keypoints == (5, 6, 2, 30, 8, 2, 20, 25, 2)  # not named: as the data set has them
    own = f"{tmp_path.name}/train.json"
    assert said(split) == [
        "train: 1 object with keypoints whose category does not name them (train/train.png) converted: "
        f"'dog' of {own} names none: read as hip, head, tail, in the order of 'cat' of {own}",
        "train: 1 object's keypoints in another order (train/train.png) converted: those of 'fox' of "
        f"{own} are matched by name with those of 'cat' of {own}",
    ]


def test_two_spellings_of_an_accent_are_one_name(tmp_path: Path) -> None:
    write(tmp_path, "train", {"cat": ["t\u00eate", "tail", "hip"]})
    write(tmp_path, "test", {"cat": ["te\u0302te", "tail", "hip"]})
    assert said(opened(tmp_path).split("test")) == []


@pytest.mark.parametrize(
    ("others", "difference"),
    [
        (
            ["ear", "eye", "tail"],
            "'cat' of {own}/test.json lacks head, hip of 'cat' of {own}/train.json and has ear, eye, which "
            "'cat' of {own}/train.json has not; name them alike",
        ),
        (["head", "tail"], "'cat' of {own}/test.json lacks hip of 'cat' of {own}/train.json; name"),
        (
            ["head", "tail", "hip", "hip"],
            "'cat' of {own}/test.json names a keypoint twice, unlike 'cat' of {own}/train.json; name",
        ),
    ],
)
def test_other_keypoints_are_dropped_and_named(tmp_path: Path, others: list[str], difference: str) -> None:
    write(tmp_path, "train", {"cat": ["head", "tail", "hip"]})
    write(tmp_path, "test", {"cat": others})
    split = opened(tmp_path).split("test")
    (finding,) = [found for found in split.findings if "keypoints" in found.line()]
    assert "1 object's keypoints of other names" in finding.line() and finding.action == "dropped"
    assert f"the boxes are kept; {difference.format(own=tmp_path.name)}" in finding.line()
    assert [instance.keypoints for instance in split.images[0].instances] == [None]


def changed(root: Path, change: dict[str, Any]) -> None:
    """Replace parts of train.json."""
    path = root / "train.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


def test_two_ids_of_one_class_have_orders_of_their_own(tmp_path: Path) -> None:
    write(tmp_path, "train", {"cat": ["head", "tail", "hip"], "dog": ["hip", "tail", "head"]})
    stated = json.loads((tmp_path / "train.json").read_text())["categories"]
    changed(tmp_path, {"categories": [{**entry, "name": "cat"} for entry in stated]})
    (image,) = opened(tmp_path).split("train").images
    assert [one.keypoints for one in image.instances] == [(5, 6, 2, 30, 8, 2, 20, 25, 2)] * 2


def test_a_category_without_objects_names_no_keypoints(tmp_path: Path) -> None:
    write(tmp_path, "train", {"cat": ["head", "tail", "hip"]})
    stated = json.loads((tmp_path / "train.json").read_text())["categories"]
    changed(tmp_path, {"categories": [{"id": 7, "name": "bird", "keypoints": ["beak"]}, *stated]})
    assert opened(tmp_path).keypoints == ("head", "tail", "hip")


def test_an_empty_list_of_keypoints_is_none(tmp_path: Path) -> None:
    write(tmp_path, "train", {"cat": ["head", "tail", "hip"], "ball": None})
    objects = json.loads((tmp_path / "train.json").read_text())["annotations"]
    objects[1]["keypoints"] = []
    changed(tmp_path, {"annotations": objects})
    split = opened(tmp_path).split("train")
    assert [one.keypoints is None for one in split.images[0].instances] == [False, True]
    assert not [found for found in split.findings if "keypoints" in found.line()]
