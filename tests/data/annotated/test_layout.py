"""How a user's folder is recognised, and what is evaluated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from annotated_layouts import (
    coco_content,
    rectangles,
    save,
    write_coco,
    write_coco_2017,
    write_json,
    write_voc,
    write_yolo,
)
from PIL import Image

from mmbench.data import Dataset, load_dataset, load_images
from mmbench.data.annotated.findings import require_usable
from mmbench.data.annotated.shared import train_and_evaluated
from mmbench.errors import UserError

COUNTS = {"train": 6, "val": 3}


def loaded(root: Path, layout: str | None = None) -> Dataset:
    load_dataset.cache_clear()
    return load_dataset(str(root), layout=layout)


def sizes(dataset: Dataset) -> dict[str, int]:
    assert dataset.annotated is not None
    return {split: len(dataset.annotated.split(split).images) for split in ("train", "val", "test")}  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", ["coco", "exported", "beside", "coco 2017", "voc", "yolo"])
def test_every_layout_is_recognised_and_can_be_forced(tmp_path: Path, layout: str) -> None:
    root, drawings = tmp_path / "set", rectangles(COUNTS)
    if layout == "voc":
        write_voc(root, drawings)
    elif layout == "yolo":
        write_yolo(root, drawings)
    elif layout == "coco 2017":
        write_coco_2017(root, drawings)
    else:
        write_coco(root, drawings, {"coco": "annotations"}.get(layout, layout))  # type: ignore[arg-type]
    title = {"voc": "VOC", "yolo": "YOLO"}.get(layout, "COCO")
    dataset = loaded(root)
    assert dataset.annotated is not None and dataset.annotated.layout == title
    assert dataset.name == "set" and not dataset.splits
    assert dataset.annotated.remarks[0].startswith(f"read in {title} layout: train")
    assert sizes(dataset) == {"train": 6, "val": 3, "test": 3}
    assert dataset.annotated.split("val") is dataset.annotated.split("test")
    assert (
        sum("is evaluated, as there is no other besides train" in line for line in dataset.annotated.remarks)
        == 1
    )
    assert loaded(root, title.lower()).annotated is not None
    for other in {"coco", "voc", "yolo"} - {title.lower()}:
        with pytest.raises(UserError, match=f"is not in {other.upper()} layout, which has .*check --layout"):
            loaded(root, other)


def test_folders_around_the_data_are_entered_and_said(tmp_path: Path) -> None:
    write_coco(tmp_path / "archive" / "export" / "v2", rectangles(COUNTS))
    (tmp_path / "archive" / "README.txt").write_text("words")
    dataset = loaded(tmp_path / "archive")
    assert sizes(dataset)["train"] == 6
    assert dataset.annotated is not None and "export/v2" in dataset.annotated.remarks[0]


def test_a_folder_in_two_layouts_is_refused_and_can_be_forced(tmp_path: Path) -> None:
    drawings = rectangles(COUNTS)
    write_coco(tmp_path, drawings)
    write_yolo(tmp_path, drawings)
    with pytest.raises(
        UserError, match=r"can be read as COCO and as YOLO; choose by --layout coco or --layout yolo"
    ):
        loaded(tmp_path)
    for layout in ("coco", "yolo"):
        found = loaded(tmp_path, layout).annotated
        assert found is not None and found.layout == layout.upper()
    write_voc(tmp_path, drawings)
    with pytest.raises(UserError, match="COCO and as VOC and as YOLO"):
        loaded(tmp_path)


def class_folders(root: Path) -> None:
    for number in range(16):
        path = root / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 20), (10 * number, 0, 0)).save(path)


def test_class_folders_stay_what_they_were(tmp_path: Path) -> None:
    class_folders(tmp_path / "set")
    for layout in (None, "folder"):
        dataset = loaded(tmp_path / "set", layout)
        assert dataset.annotated is None and dataset.classes == ("a", "b") and "train" in dataset.splits


def test_class_folders_beside_annotations_are_ambiguous(tmp_path: Path) -> None:
    class_folders(tmp_path)
    write_coco(tmp_path, rectangles(COUNTS))
    with pytest.raises(
        UserError, match=r"as COCO and as class folders; choose by --layout coco or --layout folder"
    ):
        loaded(tmp_path)
    assert loaded(tmp_path, "coco").annotated is not None
    with pytest.raises(UserError, match="class"):
        loaded(tmp_path, "folder")  # the folders of images and of annotations are no classes
    shutil.rmtree(tmp_path / "images")
    shutil.rmtree(tmp_path / "annotations")
    assert loaded(tmp_path, "folder").classes == ("a", "b")


def test_layout_is_for_folders(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.png\n")
    with pytest.raises(UserError, match="--layout is for a folder of your own, and 'patterns' is a data set"):
        load_dataset("patterns", tmp_path, "coco")
    with pytest.raises(UserError, match="is a list of images"):
        load_dataset(str(tmp_path / "list.txt"), tmp_path, "coco")
    with pytest.raises(UserError, match="unknown layout 'cocoa'; did you mean 'coco'"):
        load_dataset(str(tmp_path), tmp_path, "cocoa")


def test_images_for_pretraining_need_no_annotations(tmp_path: Path) -> None:
    write_yolo(tmp_path / "set", rectangles(COUNTS))
    assert len(load_images(tmp_path / "set").labels("train")) == 6


def test_only_train_is_divided_by_a_seed_with_equal_images_together(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "set", rectangles({"train": 20}))
    content = json.loads((root / "annotations/train.json").read_text())
    for image in content["images"][1:11]:
        shutil.copy(root / "images/train/train-0000.png", root / "images/train" / image["file_name"])
    dataset = loaded(root)
    counts = sizes(dataset)
    assert dataset.annotated is not None
    assert counts["train"] + counts["test"] == 20 and counts["val"] == counts["test"]
    names = {image.path[-8:-4] for image in dataset.annotated.split("test").images}
    assert names.isdisjoint({f"{n:04}" for n in range(11)}) or names >= {f"{n:04}" for n in range(11)}
    again = loaded(root).annotated
    assert again is not None and {image.path[-8:-4] for image in again.split("test").images} == names
    assert (
        "no split to evaluate: 85% of the images (seed 0) are trained on, and 15% are evaluated"
        in again.remarks
    )


def test_one_image_cannot_be_divided(tmp_path: Path) -> None:
    dataset = loaded(write_coco(tmp_path / "set", rectangles({"train": 1})))
    assert dataset.annotated is not None
    with pytest.raises(UserError, match=r"train: 1 different images .*refused"):
        require_usable(dataset.annotated.split("train").findings)


@pytest.mark.parametrize("layout", ["coco", "yolo"])
def test_images_shared_with_the_evaluated_split_are_not_trained_on(tmp_path: Path, layout: str) -> None:
    root = tmp_path / "set"
    (write_coco if layout == "coco" else write_yolo)(root, rectangles(COUNTS))
    shutil.copy(root / "images/val/val-0001.png", root / "images/train/train-0002.png")
    data = loaded(root).annotated
    assert data is not None
    for split in ("val", "test"):  # one part of the data, by either name
        train, evaluated = train_and_evaluated(data, split)  # type: ignore[arg-type]
        assert len(train.images) == 5 and len(evaluated.images) == 3
        assert all(image.path != "images/train/train-0002.png" for image in train.images)


def test_coco_files_that_do_not_say_their_split(tmp_path: Path) -> None:
    drawings = rectangles({"train": 8})
    for image in drawings.splits["train"]:
        save(image, tmp_path / "one" / "images" / f"{image.name}.png")
    content = coco_content(drawings.splits["train"], drawings.classes)
    write_json(tmp_path / "one" / "annotations" / "instances_default.json", content)
    assert sizes(loaded(tmp_path / "one")) == {"train": 7, "val": 1, "test": 1}
    write_json(tmp_path / "one" / "annotations" / "other.json", content)
    (tmp_path / "one/annotations/instances_default.json").rename(tmp_path / "one/annotations/first.json")
    with pytest.raises(
        UserError, match=r"2 COCO files, and annotations/first\.json does not say which split"
    ):
        loaded(tmp_path / "one")


def test_two_coco_files_of_one_split(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "set", rectangles(COUNTS))
    shutil.copy(root / "annotations/train.json", root / "train.json")
    with pytest.raises(
        UserError, match=r"two COCO files for train \(train\.json and annotations/train\.json\)"
    ):
        loaded(root)


def test_other_json_files_are_left_alone(tmp_path: Path) -> None:
    root = write_coco_2017(tmp_path / "set", rectangles(COUNTS))
    shutil.copy(root / "annotations/instances_val2017.json", root / "annotations/captions_val2017.json")
    write_json(root / "annotations" / "notes.json", {"a": [1, 2]})
    write_json(root / "train2017" / "x.json", {"shapes": [], "imagePath": "x.png"})
    dataset = loaded(root)
    assert sizes(dataset)["train"] == 6 and dataset.annotated is not None
    assert "left out: other annotation files (annotations/captions_val2017.json)" in dataset.annotated.remarks


def test_no_split_to_train_on(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no split to train on \(it has: val\); name one of them train"):
        loaded(write_coco(tmp_path / "set", rectangles({"val": 3})))


def test_several_voc_folders(tmp_path: Path) -> None:
    for year in ("VOC2007", "VOC2012"):
        write_voc(tmp_path / "VOCdevkit" / year, rectangles(COUNTS))
    with pytest.raises(UserError, match=r"several VOC folders \(VOC2007, VOC2012\).*--data voc"):
        loaded(tmp_path / "VOCdevkit")
    shutil.rmtree(tmp_path / "VOCdevkit" / "VOC2012")
    assert sizes(loaded(tmp_path / "VOCdevkit"))["train"] == 6


def test_xml_of_another_kind_is_not_voc(tmp_path: Path) -> None:
    class_folders(tmp_path / "set")
    (tmp_path / "set" / "annotations.xml").write_text("<annotations><image/></annotations>")
    assert loaded(tmp_path / "set").classes == ("a", "b")
