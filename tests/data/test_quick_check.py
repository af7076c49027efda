"""What is said of a data set before anything trains."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmbench.data import Dataset, ImageFiles, ImageSplit, load_dataset
from mmbench.data.folder import load_folder
from mmbench.data.quick_check import (
    images_per_class,
    pixel_remarks,
    quick_check,
    several_labels,
    size_remarks,
)
from mmbench.errors import UserError


def images(root: Path, splits: tuple[str, ...] = ("train", "val", "test"), count: int = 3) -> Path:
    rng = np.random.default_rng(0)
    for split in splits:
        for name in ("a", "b"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def test_nothing_is_said_of_a_set_in_order(tmp_path: Path) -> None:
    assert quick_check(load_folder(images(tmp_path))) == []


def test_files_that_two_splits_share_by_any_link_or_as_copies(tmp_path: Path) -> None:
    images(tmp_path)
    (tmp_path / "test" / "a" / "soft.png").symlink_to(tmp_path / "train" / "a" / "0.png")
    os.link(tmp_path / "train" / "b" / "1.png", tmp_path / "test" / "b" / "hard.png")
    os.link(tmp_path / "train" / "b" / "2.png", tmp_path / "val" / "b" / "hard.png")
    shutil.copy(tmp_path / "train" / "a" / "2.png", tmp_path / "test" / "b" / "copy.png")
    lines = quick_check(load_folder(tmp_path))
    assert len(lines) == 2
    assert lines[0].startswith("train and val share 1 file (b/2.png)")
    assert lines[1].startswith("train and test share 3 files (a/0.png)")


def test_files_under_different_labels_are_counted_and_named(tmp_path: Path) -> None:
    """Each content once, however often it is there; copies under one label are nothing to say."""
    images(tmp_path, count=5)
    train = tmp_path / "train"
    shutil.copy(train / "a" / "0.png", train / "b" / "copy.png")
    os.link(train / "a" / "0.png", train / "b" / "again.png")
    shutil.copy(train / "b" / "2.png", train / "b" / "same label.png")
    shutil.copy(train / "a" / "3.png", train / "b" / "z.png")
    expected = (
        "train has 2 files under different labels (a/0.png is b/again.png, a/3.png is b/z.png): at most "
    )
    assert quick_check(load_folder(tmp_path)) == [f"{expected}one is right"]
    for number in (1, 2):
        shutil.copy(train / "a" / f"{number}.png", train / "b" / f"x{number}.png")
    (line,) = quick_check(load_folder(tmp_path))
    assert line.startswith("train has 4 files") and line.count(" is b/") == 3 and ", ...): at most" in line


def test_labels_of_several_classes_differ_as_a_whole(tmp_path: Path) -> None:
    for name in "xyz":
        (tmp_path / name).write_bytes(b"one content")
    labels = torch.tensor([[1, 0], [1, 0], [1, -1]])
    assert several_labels(ImageFiles(tmp_path, ["x", "y"], labels[:2]), "test") == []
    assert several_labels(ImageFiles(tmp_path, ["x", "y", "z"], labels), "test") == [
        "test has 1 file under different labels (x is z): at most one is right"
    ]


def test_files_that_cannot_be_read_are_not_equal(tmp_path: Path) -> None:
    files = ImageFiles(tmp_path, ["gone", "gone too"], torch.tensor([0, 1]))
    assert several_labels(files, "train") == []


def test_linked_folders_that_are_split_at_random_are_found(tmp_path: Path) -> None:
    store = images(tmp_path / "store", ("train",), 20) / "train"
    for name in ("a", "b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for link in ("first", "second"):
            (tmp_path / "data" / name / f"{link} of {name}").symlink_to(
                store / name, target_is_directory=True
            )
    assert any("train and test share" in line for line in quick_check(load_folder(tmp_path / "data")))


def in_memory(labels: dict[str, list[int]], **options: object) -> Dataset:
    def split(values: list[int]) -> ImageSplit:
        return ImageSplit(torch.zeros(len(values), 3, 8, 8, dtype=torch.uint8), torch.tensor(values))

    splits = {name: (lambda values=values: split(values)) for name, values in labels.items()}
    return Dataset("mine", Path("mine"), ("x", "y", "z"), splits, 8, **options)  # type: ignore[arg-type]


def test_classes_without_images_in_a_split() -> None:
    assert quick_check(in_memory({"train": [0, 1, 2], "test": [0, 0]})) == [
        "test has no image of 2 classes (y, z)"
    ]
    several = in_memory({"train": [[1, 0, -1], [1, 1, 0]]}, multilabel=True)
    assert quick_check(several) == ["train has no image of 1 class (z)"]
    assert images_per_class(several, several.labels("train")).tolist() == [2, 1, 0]
    with pytest.raises(UserError, match="label 3"):
        quick_check(in_memory({"train": [0, 3]}))


def test_published_files_with_all_classes_and_another_number_of_images(tmp_path: Path) -> None:
    """Of ImageNet's sizes, 1,281,167 and 50,000, only classes and file names are needed."""

    def files(count: int) -> Callable[[], ImageFiles]:
        return lambda: ImageFiles(tmp_path, ["a.jpg"] * count, torch.zeros(count, dtype=torch.int64))

    def imagenet(train: int, val: int, test: int, classes: int = 1000) -> Dataset:
        sizes = {"train": train, "val": val, "test": test}
        names = tuple(map(str, range(classes)))
        return Dataset("imagenet", tmp_path, names, files={name: files(sizes[name]) for name in sizes})

    assert size_remarks(imagenet(1_268_355, 12_812, 50_000)) == []
    assert size_remarks(imagenet(200, 2, 60, classes=10)) == []  # `class_remarks` say it
    lines = size_remarks(imagenet(1_268_000, 12_812, 49_999))
    assert [line.split(": figures do not compare with published ones;")[0] for line in lines] == [
        "train of imagenet has 1280812 images where its authors publish 1281167",
        "val of imagenet has 49999 images where its authors publish 50000",
    ]
    assert size_remarks(imagenet(1_268_000, 12_812, 49_999), ["train"]) == lines[:1]


def test_a_tiny_imagenet_that_lacks_images_is_said_at_the_start_of_a_run(tmp_path: Path) -> None:
    home = tmp_path / "tiny-imagenet"
    pixels = np.random.default_rng(0).integers(0, 256, (600, 8, 8, 3), dtype=np.uint8)
    names = [f"n{number:08d}" for number in range(200)]
    (home / "val" / "images").mkdir(parents=True)
    for number, name in enumerate(names):
        (home / "train" / name).mkdir(parents=True)
        for copy, place in enumerate((home / "train" / name, home / "train" / name, home / "val" / "images")):
            Image.fromarray(pixels[3 * number + copy]).save(place / f"{number}_{copy}.png")
    lines = [f"{number}_2.png\t{name}" for number, name in enumerate(names)]
    (home / "val" / "val_annotations.txt").write_text("\n".join(lines))
    dataset = load_dataset("tiny-imagenet", tmp_path)
    assert dataset.remarks == ()
    said = quick_check(dataset)
    assert [line.split(" where")[0] for line in said] == [
        "train of tiny-imagenet has 400 images",
        "val of tiny-imagenet has 200 images",
    ]


def test_pixels_that_are_changed_are_counted(tmp_path: Path) -> None:
    images(tmp_path)
    train = tmp_path / "train" / "a"
    Image.new("RGBA", (8, 8), (1, 2, 3, 0)).save(train / "clear.png")
    Image.fromarray(np.full((8, 8), 60_000, np.uint16)).save(train / "deep.png")
    Image.fromarray(np.full((8, 8), 0.5, np.float32)).save(train / "float.tif")
    Image.new("L", (8, 8)).save(
        train / "moving.gif", save_all=True, append_images=[Image.new("L", (8, 8), 9)]
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (8, 8)).save(train / "turned.jpg", exif=exif)
    (train / "broken.png").write_bytes(b"broken")
    (line,) = quick_check(load_folder(tmp_path))
    assert line.startswith("of all 12 train images, ")
    for words in (
        "1 have transparency, which is dropped",
        "1 are 16-bit, of which the high byte is kept",
        "1 hold integers or floating-point values",
        "1 have several frames, of which the first is used",
        "1 are turned upright",
    ):
        assert words in line
    files = load_folder(tmp_path).files["train"]()
    assert pixel_remarks(files, "train", most=6)[0].startswith("of 6 train images looked at, ")


def test_a_mistyped_data_root_is_said_or_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        UserError, match=r"no folder .*nowhere to make the data folder dta in; check --data-root"
    ):
        load_dataset("patterns", tmp_path / "nowhere" / "dta")
    assert list(tmp_path.iterdir()) == []


def test_a_new_data_root_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, small_patterns: Path
) -> None:
    monkeypatch.setattr(
        "mmbench.data.patterns.prepare", lambda root, *rest: shutil.copytree(small_patterns, root)
    )
    monkeypatch.chdir(tmp_path)
    load_dataset("patterns", Path("dta"))
    assert f"the data folder {tmp_path / 'dta'} does not exist and is made now" in capsys.readouterr().err
    load_dataset.cache_clear()
    load_dataset("patterns", Path("dta"))
    assert capsys.readouterr().err == ""
