"""YOLO layout: data.yaml in every form, label files, and wrong input of every kind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from annotated_layouts import rectangles, write_yolo
from PIL import Image

from mmbench.data import load_dataset
from mmbench.data.annotated.findings import require_usable
from mmbench.data.annotated.types import AnnotatedData, AnnotatedSplit
from mmbench.errors import UserError

NAMES = "names: [red, green, blue]\n"
SPLITS = "train: images/train\nval: images/val\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_yolo(tmp_path / "set", rectangles({"train": 4, "val": 3}))


def data_in(root: Path) -> AnnotatedData:
    load_dataset.cache_clear()
    annotated = load_dataset(str(root)).annotated
    assert annotated is not None and annotated.layout == "YOLO"
    return annotated


def label(root: Path, name: str, text: str) -> None:
    (root / "labels" / name).write_text(text)


def lines(split: AnnotatedSplit) -> list[str]:
    return [finding.line() for finding in split.findings if "class" not in finding.what]


def test_centre_width_and_height_are_shares_of_the_image(root: Path) -> None:
    Image.new("RGB", (100, 50)).save(root / "images/train/train-0000.png")
    label(root, "train/train-0000.txt", "2 0.5 0.5 0.2 0.4\n\n0.0 .1 .2 .2 .4\n")
    first = data_in(root).split("train").images[0]
    assert (first.width, first.height, first.name) == (100, 50, "images/train/train-0000")
    assert [thing.label for thing in first.instances] == [2, 0]
    assert first.instances[0].box == pytest.approx((40, 15, 60, 35))
    assert first.instances[1].box == pytest.approx((0, 0, 20, 20))
    assert first.instances[0].area == pytest.approx(400)


def test_shares_refer_to_the_image_as_displayed(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (root / "images/train/train-0000.png").unlink()
    Image.new("RGB", (80, 40)).save(root / "images/train/train-0000.jpg", exif=exif)
    label(root, "train/train-0000.txt", "0 0.5 0.5 1 1\n")
    first = data_in(root).split("train").images[0]
    assert (first.width, first.height, first.apply_exif) == (40, 80, True)
    assert first.instances[0].box == (0, 0, 40, 80)


def test_an_outline_is_a_mask_and_its_box_encloses_it(root: Path) -> None:
    label(root, "train/train-0000.txt", "1 0.25 0.25 0.75 0.25 0.5 0.75\n")
    (thing,) = data_in(root).split("train").images[0].instances
    assert thing.box == (16, 16, 48, 48) and thing.segmentation == [[16, 16, 48, 16, 32, 48]]
    assert thing.area == 32 * 32 / 2


def test_boxes_that_extend_outside_are_clipped(root: Path) -> None:
    label(
        root,
        "train/train-0000.txt",
        "0 1.0 0.5 0.5 0.5\n0 1.5 0.5 0.5 0.5\n0 0.5 0.5 0 0.5\n0 0.5 0.5 -0.1 0.5\n",
    )
    split = data_in(root).split("train")
    assert [thing.box for thing in split.images[0].instances] == [(48, 16, 64, 48)]
    found = {(finding.what, finding.action) for finding in split.findings}
    assert ("train: 1 box partly outside its image", "converted") in found
    assert ("train: 1 box outside its image", "dropped") in found
    assert ("train: 2 boxes without area", "dropped") in found


def test_images_without_objects_and_without_a_label_file(root: Path) -> None:
    label(root, "train/train-0000.txt", "\n")
    (root / "labels/train/train-0001.txt").unlink()
    split = data_in(root).split("train")
    assert [len(image.instances) for image in split.images[:2]] == [0, 0]
    assert (
        "train: 1 image without a label file (images/train/train-0001.png) kept: images without objects"
        in lines(split)
    )
    assert any(line.startswith("train: 2 images without objects") for line in lines(split))
    require_usable(split.findings)


def test_a_split_without_any_label_file_is_refused(root: Path) -> None:
    shutil.rmtree(root / "labels/val")
    with pytest.raises(
        UserError, match=r"none of the 3 images of val has a label file; .*labels/val/val-0000\.txt"
    ):
        data_in(root)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("3 .5 .5 .1 .1", "class 3 is not one of the 3 classes (0 to 2)"),
        ("-1 .5 .5 .1 .1", "class -1 is not one of the 3 classes"),
        ("1.5 .5 .5 .1 .1", "class 1.5 is not one of the 3 classes"),
        ("red .5 .5 .1 .1", "'red .5 .5 .1 .1' has a word that is not a number"),
        ("0,.5,.5,.1,.1", "has a word that is not a number"),
        ("0 .5 .5 .1", "3 values after the class, neither a box nor an outline"),
        ("0", "0 values after the class"),
        ("0 .5 .5 .1 .1 .9", "a score belongs to predictions, remove it"),
        ("0 .1 .1 .2 .2 .3 .3 .4", "7 values after the class"),
        ("0 320 240 50 60", "320 is not a share of the image; are these pixels?"),
        ("0 .5 .5 nan .1", "has a number that is not finite"),
        ("0 .5 inf .1 .1", "has a number that is not finite"),
    ],
)
def test_broken_lines_are_named(root: Path, line: str, words: str) -> None:
    label(root, "val/val-0001.txt", f"0 .5 .5 .1 .1\n{line}\n")
    with pytest.raises(UserError, match="refused") as error:
        require_usable(data_in(root).split("val").findings)
    assert "labels/val/val-0001.txt line 2: " in str(error.value) and words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_label_file_that_is_not_text(root: Path) -> None:
    (root / "labels/val/val-0001.txt").write_bytes(b"\xff\xfe\x00\x01\xd8")
    with pytest.raises(UserError, match=r"1 label file that cannot be read .*val-0001\.txt \(not text\)"):
        require_usable(data_in(root).split("val").findings)


@pytest.mark.parametrize(
    "settings",
    [
        SPLITS + NAMES,
        SPLITS + "nc: 3\nnames:\n  0: red\n  1: green\n  2: blue\n",
        SPLITS + "names: {2: blue, 0: red, 1: green}\ntest:\n",
        "path: .\n" + SPLITS + NAMES,
        "path: images\ntrain: train\nval: val\n" + NAMES,
        "path: /content/datasets/mine\n" + SPLITS + NAMES,
        "train: /content/mine/images/train\nval: ../images/val\n" + NAMES,
        "train: [images/train]\nval:\n  - images/val\n" + NAMES,
        "train: train.txt\nval: images/val\n" + NAMES,
        "train: images/train/\nvalid: images/val\n" + NAMES,
        "\ufefftrain: images\\train\nval: images\\val\n" + NAMES,
        SPLITS + "names: classes.txt\n",
    ],
)
def test_settings_in_every_form(root: Path, settings: str) -> None:
    (root / "classes.txt").write_text("red\ngreen\nblue\n")
    listed = sorted(path.name for path in (root / "images/train").iterdir())
    (root / "train.txt").write_text("".join(f"./images/train/{name}\n" for name in listed))
    (root / "data.yaml").write_text(settings, encoding="utf-8")
    data = data_in(root)
    assert data.classes == ("red", "green", "blue")
    assert [len(data.split(split).images) for split in ("train", "val", "test")] == [4, 3, 3]  # type: ignore[arg-type]
    assert all(image.instances for image in data.split("train").images)
    require_usable(data.split("train").findings)


def test_a_line_of_a_list_that_names_two_images_is_refused(root: Path) -> None:
    first, second, *_ = sorted(path.name for path in (root / "images/train").iterdir())
    (root / "train.txt").write_text(f"images/train/{first},images/train/{second}\n")
    (root / "data.yaml").write_text("train: train.txt\nval: images/val\n" + NAMES)
    with pytest.raises(UserError, match=r"train\.txt, line 1: .* names several images; write one per line"):
        data_in(root)


def test_the_folders_of_common_exporters(root: Path) -> None:
    for old, new in (("train", "train"), ("val", "valid")):
        (root / new).mkdir()
        (root / "images" / old).rename(root / new / "images")
        (root / "labels" / old).rename(root / new / "labels")
    (root / "data.yaml").write_text("train: ../train/images\nval: ../valid/images\nnc: 3\n" + NAMES)
    data = data_in(root)
    assert [image.path for image in data.split("val").images] == [
        f"valid/images/val-000{n}.png" for n in range(3)
    ]
    assert any(
        "../train/images, which does not exist; train/images beside it is used" in line
        for line in data.remarks
    )


def test_images_outside_the_folder(root: Path, tmp_path: Path) -> None:
    (root / "images").rename(tmp_path / "images")
    (root / "labels").rename(tmp_path / "labels")
    (root / "data.yaml").write_text(f"path: {tmp_path}\n{SPLITS}{NAMES}")
    data = data_in(root)
    split = data.split("train")
    assert split.root == tmp_path and split.images[0].path == "images/train/train-0000.png"
    assert "set/data.yaml" in split.files and len(split.images[0].instances) > 0


def test_without_settings_but_with_a_list_of_classes(root: Path) -> None:
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("red\ngreen\nblue\n")
    data = data_in(root)
    assert data.classes == ("red", "green", "blue")
    assert [len(data.split(split).images) for split in ("train", "val")] == [4, 3]  # type: ignore[arg-type]
    for split in ("train", "val"):  # label files beside their images, as labelImg writes them
        for path in (root / "labels" / split).iterdir():
            path.rename(root / "images" / split / path.name)
    assert sum(len(image.instances) for image in data_in(root).split("train").images) > 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("train: [\n", r"data\.yaml, line 2 is not valid YAML"),
        ("- a\n- b\n", "has no settings such as names and train"),
        (SPLITS + "names: 3\n", "names is not a list of class names"),
        (SPLITS, "names is not a list of class names"),
        (SPLITS + "names: []\n", "names is not a list of class names"),
        (SPLITS + "nc: 4\n" + NAMES, "nc is '4', but there are 3 names"),
        (SPLITS + "nc: many\n" + NAMES, "nc is 'many', but there are 3 names"),
        (SPLITS + "names: [a, b, a]\n", "names the class 'a' twice"),
        (SPLITS + "names: [a, '', b]\n", "has a class without a name"),
        (SPLITS + "names: {1: a, 2: b}\n", "keys of names are not the numbers 0 to 1"),
        (SPLITS + "names: {a: 0, b: 1}\n", "keys of names are not the numbers 0 to 1"),
        ("train: pictures\nval: images/val\n" + NAMES, "train is pictures, which does not exist"),
        ("train: {a: b}\nval: images/val\n" + NAMES, "not a folder or a list"),
        ("val: images/val\n" + NAMES, "no split to train on"),
        ("train: data.yaml\nval: images/val\n" + NAMES, "not a folder or a .txt list"),
        ("train: labels/train\nval: images/val\n" + NAMES, r"train \(labels/train\) has no images"),
        ("train: images/train\nval: images/val\nvalid: images/val\n" + NAMES, "2 .* for the val split"),
        (SPLITS + "names: [red, Red, blue]\n", "differ in capital letters"),
    ],
)
def test_settings_that_cannot_be_used(root: Path, settings: str, words: str) -> None:
    (root / "data.yaml").write_text(settings)
    with pytest.raises(UserError, match=words) as error:
        data_in(root)
    assert "\n" not in str(error.value)


def test_a_stated_test_split_may_be_absent(root: Path) -> None:
    (root / "data.yaml").write_text(SPLITS + "test: ../test/images\n" + NAMES)
    data = data_in(root)
    assert any(line.startswith("no test split: ") and "../test/images" in line for line in data.remarks)
    assert len(data.split("test").images) == 3  # val
    shutil.rmtree(root / "images/val")
    with pytest.raises(UserError, match=r"val is images/val, which does not exist"):
        data_in(root)


def test_class_names_are_text_whatever_they_look_like(root: Path) -> None:
    (root / "data.yaml").write_text(SPLITS + "names: [no, 007, null]\n")
    assert data_in(root).classes == ("no", "007", "null")


def test_two_files_of_settings(root: Path) -> None:
    (root / "data.yaml").rename(root / "a.yaml")
    assert len(data_in(root).classes) == 3
    shutil.copy(root / "a.yaml", root / "b.yml")
    with pytest.raises(UserError, match=r"2 files with YOLO's settings \(a\.yaml and b\.yml\)"):
        data_in(root)


def test_missing_images_of_a_list(root: Path) -> None:
    (root / "train.txt").write_text("images/train/train-0000.png\nimages/train/gone.png\n")
    (root / "data.yaml").write_text("train: train.txt\nval: images/val\n" + NAMES)
    split = data_in(root).split("train")
    assert len(split.images) == 1
    assert any("1 image that is missing (images/train/gone.png) dropped" in line for line in lines(split))


POINTS = {
    "[4, 3]": ".4 .4 2 .6 .4 1 .6 .6 0 .4 .6 2",
    "[5, 2]": ".1 .1 .6 .4 .6 .6 .4 .6 .5 .95",
    "[1, 2]": "0 0",
}


@pytest.mark.parametrize("shape", POINTS)
def test_keypoints_after_the_box_are_not_an_outline(root: Path, shape: str) -> None:
    (root / "data.yaml").write_text(f"{SPLITS}{NAMES}kpt_shape: {shape}\n")
    for path in root.glob("labels/*/*.txt"):
        path.write_text(f"0 .5 .5 .25 .5 {POINTS[shape]}\n")
    data = data_in(root)
    for split, count in (("train", 4), ("val", 3)):
        images = data.split(split).images  # type: ignore[arg-type]
        assert [[thing.box for thing in image.instances] for image in images] == [[(24, 16, 40, 48)]] * count
        assert all(thing.segmentation is None for image in images for thing in image.instances)
    (line,) = [line for line in lines(data.split("val")) if "keypoints" in line]
    assert line.startswith("val: 3 objects with keypoints (labels/val/val-0000.txt, ")
    assert line.endswith(") converted: the boxes are used, the keypoints are not")
    require_usable(data.split("val").findings)


def test_lines_that_do_not_fit_the_shape_of_keypoints(root: Path) -> None:
    (root / "data.yaml").write_text(f"{SPLITS}{NAMES}kpt_shape: [4, 3]\n")
    for path in root.glob("labels/*/*.txt"):
        path.write_text(f"0 .5 .5 .25 .5 {POINTS['[4, 3]']}\n")
    label(root, "val/val-0001.txt", f"0 .5 .5 .25 .5 {POINTS['[5, 2]']}\n0 .5 .5 .25 .5\n")
    with pytest.raises(UserError, match=r"2 lines that are not objects .*line 1: 14 values .* have 16"):
        require_usable(data_in(root).split("val").findings)


@pytest.mark.parametrize("shape", ["4", "[4]", "[0, 3]", "[4, 1]", "[four, 3]", "[4, 3, 1]", "{a: 1}"])
def test_a_shape_of_keypoints_that_is_none(root: Path, shape: str) -> None:
    (root / "data.yaml").write_text(f"{SPLITS}{NAMES}kpt_shape: {shape}\n")
    with pytest.raises(UserError, match=r"kpt_shape is .*such as \[17, 3\]"):
        data_in(root)


def test_keypoints_that_the_settings_do_not_state_are_refused(root: Path) -> None:
    label(root, "val/val-0001.txt", f"0 .5 .5 .25 .5 {POINTS['[4, 3]']}\n")
    with pytest.raises(UserError, match=r"line 1: keypoints after the box, it seems; state kpt_shape"):
        require_usable(data_in(root).split("val").findings)
    label(root, "val/val-0001.txt", "0 .5 .5 1 .5 1 1 0 1 0 .5\n")  # an outline along the edges
    require_usable(data_in(root).split("val").findings)


@pytest.mark.parametrize("form", ["settings", "exported", "classes.txt", "beside"])
def test_label_files_without_an_image_are_counted_or_refused(root: Path, form: str) -> None:
    folder = "images/{}/"
    if form == "exported":
        folder = "{}/images/"
        for split in ("train", "val"):
            (root / split).mkdir()
            (root / "images" / split).rename(root / split / "images")
            (root / "labels" / split).rename(root / split / "labels")
        (root / "data.yaml").write_text("train: train/images\nval: val/images\n" + NAMES)
    elif form == "classes.txt":
        (root / "data.yaml").unlink()
        (root / "classes.txt").write_text("red\ngreen\nblue\n")
        (root / "labels/val/classes.txt").write_text("red\ngreen\nblue\n")
    elif form == "beside":
        folder = "pictures/{}/"
        for split in ("train", "val"):
            for path in (root / "labels" / split).iterdir():
                path.rename(root / "images" / split / path.name)
        (root / "images").rename(root / "pictures")
        (root / "data.yaml").write_text("train: pictures/train\nval: pictures/val\n" + NAMES)
        (root / "pictures/val/README.txt").write_text("taken in 2026 with 2 cameras\n")
    assert not [
        line for split in ("train", "val") for line in lines(data_in(root).split(split)) if "label" in line
    ]  # type: ignore[arg-type]
    labels = folder.replace("images", "labels")
    (root / folder.format("train") / "train-0001.png").unlink()
    with Image.open(root / folder.format("val") / "val-0001.png") as image:
        image.save(root / folder.format("val") / "val-0001.gif")
    (root / folder.format("val") / "val-0001.png").unlink()
    (root / folder.format("val") / "val-0002.png").unlink()
    data = data_in(root)
    assert len(data.split("train").images) == 3
    (line,) = [line for line in lines(data.split("train")) if "label" in line]
    assert line == (
        f"train: 1 label file without an image ({labels.format('train')}train-0001.txt) dropped: "
        "not trained on"
    )
    require_usable(data.split("train").findings)
    with pytest.raises(UserError) as error:
        require_usable(data.split("val").findings)
    assert str(error.value) == (
        f"val: 2 label files without an image ({labels.format('val')}val-0001.txt, "
        f"{folder.format('val')}val-0001.gif is not read, {labels.format('val')}val-0002.txt) refused: "
        "put the images back (jpg, jpeg, png, ppm, bmp, pgm, tif, tiff, webp), or remove the label files"
    )


def test_label_files_of_a_split_without_images_are_left_out_and_counted(root: Path) -> None:
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("red\ngreen\nblue\n")
    shutil.copytree(root / "labels/val", root / "labels/test")
    remarks = data_in(root).remarks
    assert any(
        line.startswith("left out: 3 label files without images (labels/test/val-0000") for line in remarks
    )


@pytest.mark.parametrize("settings", [True, False])
def test_files_beside_images_that_are_not_read_are_said(root: Path, settings: bool) -> None:
    if not settings:
        (root / "data.yaml").unlink()
        (root / "classes.txt").write_text("red\ngreen\nblue\n")
    assert not [line for line in data_in(root).remarks if "not read" in line]
    for name in ("images/val/a.heic", "images/train/b.gif", "images/train.cache", "images/val/val-0001.npy"):
        (root / name).write_bytes(b"0")
    (root / "notes.md").write_text("not beside images")
    (line,) = [line for line in data_in(root).remarks if "not read" in line]
    assert line == (
        "left out: 2 files beside images, of types that are not read (images/train/b.gif, images/val/a.heic)"
    )


def test_lines_that_repeat_others_are_said(root: Path) -> None:
    label(root, "val/val-0001.txt", "0 .5 .5 .1 .1\n0 .5 .5 .1 .1\n1 .5 .5 .1 .1\n")
    split = data_in(root).split("val")
    assert len(split.images[1].instances) == 3
    assert (
        "val: 1 object that repeats another one exactly (images/val/val-0001.png) kept: each counts in "
        "evaluation"
    ) in lines(split)
