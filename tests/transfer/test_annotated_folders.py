"""Folders of images with boxes, where classes or images alone are asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from annotated_layouts import rectangles, write_coco, write_yolo
from PIL import Image

from mmbench.cli import commands as cli
from mmbench.data import Dataset, Scenes, load_dataset
from mmbench.errors import UserError
from mmbench.transfer.evaluation import evaluate
from mmbench.transfer.loading import load_model

ARCH = "mixmask_resnet8"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    load_dataset.cache_clear()
    return write_coco(tmp_path / "set", rectangles({"train": 6, "val": 3}, size=(40, 48)))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


def test_the_random_control_needs_no_classes(root: Path) -> None:
    control = load_model("random", ARCH, load_dataset(str(root)), 0)
    assert control.card.preprocessing.image_size == 40
    assert control.card.origins["batch_norm"].startswith(
        "statistics of 6 random unlabelled training images of set"
    )
    again = load_model("random", ARCH, load_dataset(str(root)), 0)
    assert all(torch.equal(control.state_dict[name], again.state_dict[name]) for name in control.state_dict)
    assert (
        load_model("random", ARCH, load_dataset(str(root)), 0, image_size=32).card.preprocessing.image_size
        == 32
    )


def test_the_random_control_of_scenes(tmp_path: Path) -> None:
    path = tmp_path / "images" / "train" / "1.png"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (32, 32), (9, 8, 7)).save(path)
    control = load_model("random", ARCH, Dataset("own", tmp_path, ("a",), scenes=Scenes(tmp_path, ("a",))), 0)
    assert control.card.arm == "random" and control.card.preprocessing.image_size == 32


@pytest.mark.parametrize("task", ["knn", "linear", "finetune"])
def test_classification_of_boxes_is_one_line(
    root: Path, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--checkpoint", "random", "--arch", ARCH, "--out", root / "out")
    code, out, err = run(capsys, "transfer", "--task", task, "--data", root, *options)
    assert code == 2 and not out and err.count("\n") == 1
    assert (
        f"(COCO layout) has boxes but no class per image, which task '{task}' needs; use --task detection"
        in err
    )
    assert not (root / "out").exists()


def test_the_layout_can_be_stated(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_yolo(root, rectangles({"train": 6, "val": 3}))
    options = ("--task", "knn", "--checkpoint", "random", "--arch", ARCH, "--out", tmp_path / "out")
    code, _, err = run(capsys, "transfer", "--data", root, *options)
    assert code == 2 and "choose by --layout coco or --layout yolo" in err and err.count("\n") == 1
    embedding = ("--checkpoint", "random", "--arch", ARCH, "--out", tmp_path / "f.npy")
    code, _, err = run(capsys, "embed", "--data", root, *embedding)  # has no --layout
    assert code == 0 and "--layout" not in err and "move the files of all but one out of it" in err
    code, _, err = run(capsys, "transfer", "--data", root, "--layout", "yolo", *options)
    assert code == 2 and "(YOLO layout) has boxes but no class per image" in err
    with pytest.raises(UserError, match="YOLO layout"):
        evaluate("random", "knn", root, arch=ARCH, layout="yolo", out=tmp_path / "out")
    code, _, err = run(capsys, "transfer", "--data", "patterns", "--layout", "coco", *options)
    assert code == 2 and "--layout is for a folder of your own" in err


def test_features_of_images_with_boxes(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--checkpoint", "random", "--arch", ARCH, "--out", tmp_path / "f.npy", "--no-bank")
    code, _, err = run(capsys, "embed", "--data", root, *options)
    assert code == 0 and "used without labels" in err
    assert len(np.load(tmp_path / "f.npy")) == 9
