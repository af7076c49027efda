"""Commands on a user's folder of images with label maps, called as a user calls them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from annotated_layouts import rectangles, write_coco
from calling import run
from label_map_layouts import PALETTE, tiny, write_classes, write_mmseg, write_plain, write_scenes
from PIL import Image

from mmbench.data import load_dataset
from mmbench.data.plain_images import plain_images
from mmbench.errors import UserError
from mmbench.tasks import TASKS
from mmbench.transfer.loading import load_model
from mmbench.transfer.resolution import resolve_task
from mmbench.transfer.run import TransferRun

TRUTH = tiny({"train": 6, "val": 3})
ARCH = "mixmask_resnet8"


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    root = write_plain(tmp_path / "masks-only", TRUTH)
    write_classes(root / "classes.txt")
    return root


@pytest.fixture
def both(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "both", TRUTH)


def test_check_says_layout_classes_and_the_next_step(masks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "data", "check", masks)
    assert code == 0 and out.rstrip().endswith(f"{masks} is complete")
    assert out.startswith("read in masks layout: train, val\n4 classes from classes.txt\n")
    protocol = TASKS.get("segmentation").protocol_on(str(masks))
    step = f"next: mmbench transfer --protocol {protocol} --checkpoint runs/mixmask --data {masks}"
    assert err.strip() == step
    code, _, err = run(capsys, "data", "check", masks, "--layout", "masks")
    assert code == 0 and err.strip() == f"{step} --layout masks"


def test_check_reads_boxes_and_label_maps(both: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "data", "check", both)
    assert code == 0 and "--protocol detection/" in err
    for line in ("read in COCO layout: train, val", "read in masks layout: train, val"):
        assert line in out.splitlines()


def test_check_names_what_is_wrong(masks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (masks / "masks/val/val-0001.png").unlink()
    code, _, err = run(capsys, "data", "check", masks)
    assert code == 2 and "image without a label map" in err and "images/val/val-0001.png" in err
    write_mmseg(masks, TRUTH)
    code, _, err = run(capsys, "data", "check", masks)
    assert code == 2 and "choose by --layout mmseg or --layout masks" in err
    assert run(capsys, "data", "check", masks, "--layout", "mmseg")[0] == 0


def test_show_draws_label_maps_in_their_colours(
    masks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sheet.png"
    code, said, err = run(capsys, "data", "show", masks, "--split", "val", "--out", out, "--layout", "masks")
    assert code == 0 and said == f"drawn: {out}\n"
    assert err.strip() == f"next: mmbench data check {masks} --layout masks"
    drawn = {tuple(pixel) for pixel in np.asarray(Image.open(out)).reshape(-1, 3).tolist()}
    assert set(PALETTE[1:]) <= drawn


def test_show_has_a_choice_where_a_data_set_has_both(
    both: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheets = {}
    for name, flags in {"usual": (), "boxes": ("--boxes",), "masks": ("--masks",)}.items():
        assert run(capsys, "data", "show", both, *flags, "--out", tmp_path / f"{name}.png")[0] == 0
        sheets[name] = (tmp_path / f"{name}.png").read_bytes()
    assert sheets["usual"] == sheets["boxes"] != sheets["masks"]
    code, _, err = run(capsys, "data", "show", both, "--boxes", "--masks", "--out", tmp_path / "x.png")
    assert code == 2 and "give one of them" in err


def test_show_of_what_is_not_there(masks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxes = write_coco(tmp_path / "boxes-only", rectangles({"train": 4, "val": 2}))
    for root, flag, message in (
        (masks, "--boxes", "(masks layout) has label maps and no boxes; use --task segmentation"),
        (boxes, "--masks", "(COCO layout) has boxes and no label maps; use --task detection"),
    ):
        code, _, err = run(capsys, "data", "show", root, flag, "--out", tmp_path / "x.png")
        assert code == 2 and message in err and not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("task", ["detection", "knn", "linear", "finetune"])
def test_a_task_that_needs_something_else_is_one_line(
    masks: Path, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--checkpoint", "random", "--arch", ARCH, "--out", masks / "out")
    code, out, err = run(capsys, "transfer", "--task", task, "--data", masks, *options)
    assert code == 2 and not out and err.count("\n") == 1 and err.rstrip().endswith("--task segmentation")
    has = "no boxes" if task == "detection" else f"no class per image, which task '{task}' needs"
    assert "'masks-only' (masks layout) has label maps" in err and has in err
    assert not (masks / "out").exists()


def test_segmentation_of_boxes_alone_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_coco(tmp_path / "boxes-only", rectangles({"train": 4, "val": 2}))
    options = ("--checkpoint", "random", "--arch", ARCH, "--out", root / "out")
    code, _, err = run(capsys, "transfer", "--task", "segmentation", "--data", root, *options)
    assert code == 2 and err.count("\n") == 1
    assert "(COCO layout) has boxes and no label maps; use --task detection, or add a label map" in err


def test_label_maps_that_cannot_be_read_do_not_keep_from_boxes(both: Path) -> None:
    write_plain(both, TRUTH, masks="gt/SPLIT/NAME.png")
    load_dataset.cache_clear()
    dataset = load_dataset(str(both))
    assert len(dataset.require_annotated().split("train").images) == 6
    left_out = [line for line in dataset.require_annotated().remarks if "left out" in line]
    assert len(left_out) == 1 and "label maps in two folders" in left_out[0]
    with pytest.raises(UserError, match=r"label maps of data set 'both' cannot be read: .*two folders"):
        dataset.require_label_maps()


def test_the_random_control_needs_no_classes_of_images(masks: Path) -> None:
    load_dataset.cache_clear()
    dataset = load_dataset(str(masks))
    control = load_model("random", ARCH, dataset, 0)
    task = resolve_task("segmentation", data=str(masks))
    transfer = TransferRun(task, control, dataset)
    assert transfer.reference.name == "masks-only" and control.card.arm == "random"


def test_images_of_label_maps_serve_pretraining(masks: Path) -> None:
    load_dataset.cache_clear()
    plain = plain_images(load_dataset(str(masks)))
    paths = plain.files["train"]().paths
    assert len(paths) == 6 and all(path.startswith("images/train/") for path in paths)
