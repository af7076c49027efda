"""`mmbench data check` and `mmbench data show` of images with boxes, called as a user calls them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from annotated_layouts import rectangles, write_coco, write_devkit, write_voc, write_yolo
from calling import run
from PIL import Image
from pycocotools import mask as coco_mask

from mmbench.tools.annotated_sheet import SIDE
from mmbench.tools.contact_sheet import GAP, MARGIN, class_colours

SCALE = SIDE / 64


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_coco(tmp_path / "set", rectangles({"train": 8, "test": 4}, objects=(2, 2)))


def test_check_prints_facts_and_findings(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "annotations/train.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"][0] = -5
    for annotation in content["annotations"][2:14]:
        annotation["bbox"][2] = 0
    path.write_text(json.dumps(content))
    code, out, err = run(capsys, "data", "check", root)
    assert code == 0 and out.rstrip().endswith(f"{root} is complete")
    assert "read in COCO layout: train, test" in out.splitlines()
    assert "the split test is evaluated, as there is no other besides train" in out
    assert re.search(
        r"^train: 8 images of 64 px \(short side\); 4 objects of 3 classes, \d( to \d)? per class;", out, re.M
    )
    assert re.search(
        r"^val and test: 4 images of 64 px .*; 8 objects of 3 classes, .*; 8 with masks; 8 small, 0 medium",
        out,
        re.M,
    )
    (dropped,) = [line for line in out.splitlines() if "without area" in line]
    assert dropped.startswith("train: 12 boxes without area (") and dropped.count(".png") == 5
    assert ", ...): dropped" in dropped
    assert "train: 1 box partly outside its image (images/train/train-0000.png): converted: clipped" in out
    assert f"next: mmbench transfer --protocol detection/own@1 --checkpoint runs/mixmask --data {root}" in err


def test_check_refuses_what_a_run_refuses(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "images/test/test-0001.png").unlink()
    path = root / "annotations/train.json"
    content = json.loads(path.read_text())
    content["images"][0]["width"] = 640
    path.write_text(json.dumps(content))
    code, out, err = run(capsys, "data", "check", root)
    assert code == 2 and "Traceback" not in err and "is complete" not in out
    problems = [line for line in err.splitlines() if line.startswith("problem: ")]
    assert len(problems) == 2 and all("refused" in line for line in problems)
    assert "train: 1 image of another size" in problems[0]
    assert "test-0001.png" in problems[1]
    assert f"{root}: 2 problems, the first is: train: 1 image of another size" in err


def test_check_of_broken_files_is_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "annotations/test.json").write_text('{"images": [],\n"annotations": [}')
    code, _, err = run(capsys, "data", "check", root)
    assert code == 2 and err.count("\n") == 1 and "test.json, line 2: not valid JSON" in err
    (root / "annotations/test.json").write_text(
        json.dumps({"images": [], "annotations": [], "categories": []})
    )
    assert run(capsys, "data", "check", root)[0] == 2


def test_check_of_two_ways_names_the_option_that_chooses(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_yolo(root, rectangles({"train": 8, "test": 4}))
    code, _, err = run(capsys, "data", "check", root)
    assert code == 2 and err.count("\n") == 1 and "--layout coco or --layout yolo" in err
    code, out, err = run(capsys, "data", "check", root, "--layout", "yolo")
    assert code == 0 and "read in YOLO layout" in out and "--layout yolo" in err
    code, _, err = run(capsys, "data", "check", root, "--layout", "cocoo")
    assert code == 2 and "'cocoo' is not one of" in err
    code, _, err = run(capsys, "data", "check", "patterns", "--layout", "coco")
    assert code == 2


def test_check_of_voc_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_devkit(tmp_path / "voc")
    code, out, _ = run(capsys, "data", "check", "voc", "--data-root", tmp_path)
    assert code == 0 and "train: 16 images of 64 px" in out and "test: 4 images of 64 px" in out
    assert "figures do not compare with published ones" in out


def cells(path: Path, columns: int = 5) -> list[np.ndarray]:
    """Return the images on a sheet, in order; all are square."""
    sheet = np.asarray(Image.open(path).convert("RGB")).astype(int)
    found = []
    for row in range((sheet.shape[0] - MARGIN - 40) // (SIDE + GAP)):
        for column in range(columns):
            left, top = MARGIN + column * (SIDE + GAP), MARGIN + 40 + row * (SIDE + GAP)
            found.append(sheet[top : top + SIDE, left : left + SIDE])
    return found


@pytest.mark.parametrize("layout", ["coco", "voc", "yolo"])
def test_show_draws_every_box_at_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: str
) -> None:
    drawings = rectangles({"train": 7, "test": 2}, objects=(1, 1))
    root, out = tmp_path / "set", tmp_path / "sheet.png"
    {"coco": write_coco, "voc": write_voc, "yolo": write_yolo}[layout](root, drawings)
    if layout == "voc":
        (root / "labels.txt").write_text("\n".join(drawings.classes))
    code, said, err = run(capsys, "data", "show", root, "--out", out)
    assert code == 0 and f"drawn: {out}" in said and "next: mmbench data check" in err
    colours = class_colours(3)
    for image, cell in zip(drawings.splits["train"], cells(out), strict=False):
        (thing,) = image.things
        left, _, right, bottom = (value * SCALE for value in thing.box)
        ink = np.array(colours[thing.label])
        middle = round((left + right) / 2)
        low, across = round(bottom), round(right)
        assert np.abs(cell[low - 2 : low, middle] - ink).max(axis=1).min() < 8
        assert np.abs(cell[low - 8, across - 2 : across] - ink).max(axis=1).min() < 8
        outside = [
            cell[min(round(bottom) + 4, SIDE - 1), middle],
            cell[round(bottom) - 8, min(round(right) + 4, SIDE - 1)],
        ]
        assert bottom > 62 * SCALE or np.abs(outside[0] - ink).max() > 40
        assert right > 62 * SCALE or np.abs(outside[1] - ink).max() > 40


def test_show_lays_masks_of_both_kinds_over_the_image(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / "annotations/train.json"
    content = json.loads(path.read_text())
    content["annotations"] = content["annotations"][:1]
    (annotation,) = content["annotations"]
    annotation |= {"bbox": [0, 0, 64, 64], "segmentation": [[0, 0, 32, 0, 32, 64, 0, 64]], "category_id": 2}
    path.write_text(json.dumps(content))
    Image.new("RGB", (64, 64), (100, 100, 100)).save(root / "images/train/train-0000.png")
    ink = np.array(class_colours(3)[1])
    mixed = np.array((100, 100, 100)) * 0.62 + ink * 0.38
    mask = np.zeros((64, 64), np.uint8, order="F")
    mask[:, :32] = 1
    code = coco_mask.encode(mask)
    for segmentation in (
        annotation["segmentation"],
        {"size": code["size"], "counts": code["counts"].decode()},
    ):
        annotation["segmentation"] = segmentation
        path.write_text(json.dumps(content))
        assert run(capsys, "data", "show", root, "--out", tmp_path / "sheet.png")[0] == 0
        cell = cells(tmp_path / "sheet.png")[0]
        assert np.abs(cell[200, 70] - mixed).max() < 4
        assert np.abs(cell[200, 220] - 100).max() < 4


def test_check_counts_objects_with_a_labelled_keypoint(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, labelled in (("train", 2), ("test", 0)):
        path = root / f"annotations/{split}.json"
        content = json.loads(path.read_text())
        for category in content["categories"]:
            category["keypoints"] = ["nose", "tail"]
        for number, annotation in enumerate(content["annotations"]):
            annotation["keypoints"] = [9, 9, int(number < labelled), 9, 9, 0]
        path.write_text(json.dumps(content))
    code, out, _ = run(capsys, "data", "check", root)
    train, test = (line for line in out.splitlines() if line.startswith(("train: 8 ", "val and test: 4 ")))
    assert code == 0 and "; 2 with labelled keypoints; " in train and "refuses" not in train
    assert "; none with labelled keypoints, so detector=keypoint refuses this split; " in test


def test_show_draws_keypoints_and_marks_crowds(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "test"):
        path = root / f"annotations/{split}.json"
        content = json.loads(path.read_text())
        for category in content["categories"]:
            category |= {"keypoints": ["nose", "tail"], "skeleton": []}
        for annotation in content["annotations"]:
            annotation |= {"bbox": [0, 0, 64, 64], "keypoints": [32, 40, 2, 0, 0, 0], "num_keypoints": 1}
        content["annotations"][1]["iscrowd"] = 1
        path.write_text(json.dumps(content))
    out = tmp_path / "sheet.png"
    assert run(capsys, "data", "show", root, "--out", out)[0] == 0
    cell = cells(out)[1]
    label = json.loads((root / "annotations/train.json").read_text())["annotations"][3]["category_id"] - 1
    centre = cell[round(40 * SCALE), round(32 * SCALE)]
    assert np.abs(centre - np.array(class_colours(3)[label])).max() < 40
    _, said, _ = run(capsys, "data", "check", root)
    assert "16 with labelled keypoints" in said and "1 crowd" in said


def test_show_refuses_in_one_line(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (("--out", tmp_path / "a.jpg"), ("--out", tmp_path / "a.png", "--split", "tset")):
        code, _, err = run(capsys, "data", "show", root, *arguments)
        assert code == 2 and "Traceback" not in err
    for path in (root / "images/train").iterdir():
        path.unlink()
    code, _, err = run(capsys, "data", "show", root, "--out", tmp_path / "a.png")
    assert code == 2 and err.count("\n") == 1 and "no images that can be used" in err
    assert not (tmp_path / "a.png").exists()
