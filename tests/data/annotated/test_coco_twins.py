"""What a COCO file is read as depends on its objects, not on how they are numbered and ordered."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from annotated_layouts import coco_content, rectangles, save, write_coco
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmbench.data import Dataset, Scenes
from mmbench.data.annotated.coco import CocoSource, coco_data, read_coco
from mmbench.data.annotated.types import AnnotatedData, AnnotatedSplit
from mmbench.errors import UserError

CLASSES = ("red", "green", "blue")


def objects(split: AnnotatedSplit) -> dict[str, list[str]]:
    return {
        image.path: sorted(
            repr((item.label, item.box, item.area, item.segmentation, item.crowd)) for item in image.instances
        )
        for image in split.images
    }


def renumbered(content: dict[str, Any], draw: random.Random, text: bool) -> dict[str, Any]:
    """Return the same images and objects with other ids, in another order."""

    def ids(table: str) -> dict[int, int | str]:
        numbers = draw.sample(range(10**6), len(content[table]))
        return {
            entry["id"]: f"{number:09d}" if text else number
            for entry, number in zip(content[table], numbers, strict=True)
        }

    images, categories = ids("images"), ids("categories")
    twin = json.loads(json.dumps(content))
    for image in twin["images"]:
        image["id"] = images[image["id"]]
    for category in twin["categories"]:
        category["id"] = categories[category["id"]]
    for box in twin["annotations"]:
        box["image_id"], box["category_id"] = images[box["image_id"]], categories[box["category_id"]]
        box["id"] = draw.randrange(5)
        if text and draw.random() < 0.5:
            box["image_id"] = int(box["image_id"])
    for table in ("images", "categories", "annotations"):
        draw.shuffle(twin[table])
    return twin


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("twins")
    for image in rectangles({"train": 5}).splits["train"]:
        save(image, root / "images" / f"{image.name}.png")
    return root


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), text=st.booleans(), crowd=st.booleans())
def test_a_renumbered_twin_is_read_alike(home: Path, seed: int, text: bool, crowd: bool) -> None:
    draw = random.Random(seed)
    content = coco_content(rectangles({"train": 5}).splits["train"], CLASSES)
    for box in content["annotations"]:
        box["bbox"] = [
            draw.uniform(-20, 60),
            draw.uniform(-20, 60),
            draw.uniform(-1, 70),
            draw.uniform(-1, 70),
        ]
        box["iscrowd"] = int(crowd and draw.random() < 0.3)
        box["category_id"] = draw.randrange(1, 4)
    read = []
    for number, case in enumerate((content, renumbered(content, draw, text))):
        (home / f"{number}.json").write_text(json.dumps(case))
        read.append(read_coco(CocoSource(home, f"{number}.json", "images", "train"), CLASSES))
    first, twin = read
    assert objects(first) == objects(twin)
    assert [image.path for image in first.images] == [image.path for image in twin.images]
    for image in first.images:
        for item in image.instances:
            left, top, right, bottom = item.box
            assert 0 <= left < right <= image.width and 0 <= top < bottom <= image.height and item.area > 0
    counted = {finding.what: len(finding.examples) for finding in first.findings}
    assert counted.items() <= {finding.what: len(finding.examples) for finding in twin.findings}.items()


def opened(root: Path) -> AnnotatedData:
    return coco_data("own", {"train": CocoSource(root, "annotations/train.json", "images/train", "train")})


def test_the_fingerprint_changes_with_annotations_and_images(tmp_path: Path) -> None:
    root = write_coco(tmp_path, rectangles({"train": 3}))
    seen = [opened(root).fingerprint(), opened(root).fingerprint()]
    assert seen[0] == seen[1]
    target = root / "annotations" / "train.json"
    content = json.loads(target.read_text())
    content["annotations"][0]["bbox"][0] += 1
    target.write_text(json.dumps(content))
    seen.append(opened(root).fingerprint())
    image = root / "images" / "train" / "train-0001.png"
    image.write_bytes(image.read_bytes() + b"\0")
    seen.append(opened(root).fingerprint())
    assert len(set(seen)) == 3


def test_scenes_are_read_with_their_own_fingerprint(tmp_path: Path) -> None:
    root = write_coco(tmp_path, rectangles({"train": 3, "test": 2}))
    dataset = Dataset("own", root, CLASSES, scenes=Scenes(root, CLASSES))
    data = dataset.require_annotated()
    assert data is dataset.require_annotated() and data.classes == CLASSES
    assert list(data.finders) == ["train", "test"] and len(data.split("test").images) == 2
    assert data.fingerprint() == Scenes(root, CLASSES).fingerprint
    with pytest.raises(UserError, match=r"has no val split with boxes \(it has: train, test\)"):
        data.split("val")


def test_data_without_boxes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data set 'own' has no boxes; use one that has"):
        Dataset("own", tmp_path, CLASSES).require_annotated()
    with pytest.raises(UserError, match="has no annotations at"):
        Dataset("own", tmp_path, CLASSES, scenes=Scenes(tmp_path, CLASSES)).require_annotated()
    given = coco_data("own", {"train": CocoSource(tmp_path, "a.json", "", "train")}, CLASSES)
    assert Dataset("own", tmp_path, CLASSES, annotated=given).require_annotated() is given
