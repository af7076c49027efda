"""VOC 2007 in the layout of its development kit: image sets, a file per class and split, annotations."""

from pathlib import Path

import pytest
import torch
from torchvision.datasets import VOCDetection
from torchvision.datasets.voc import DATASET_YEAR_DICT

from mmbench.data import download_dataset, load_dataset
from mmbench.data.quick_check import quick_check
from mmbench.data.sets.voc2007 import CLASSES
from mmbench.errors import UserError

PARTS = {"train": ("000012", "000017", "000023"), "val": ("000005", "000007"), "test": ("000001", "000002")}
SIZES = {name: len(numbers) for name, numbers in PARTS.items()}
# What stands in the file of a class; -1, absent, where nothing is said.
VALUES = {("000012", "car"): 1, ("000017", "horse"): 1, ("000017", "person"): 0, ("000023", "bicycle"): 1}


def write_voc(home: Path, image, parts: tuple[str, ...] = tuple(PARTS)) -> Path:
    main = home / "ImageSets" / "Main"
    main.mkdir(parents=True, exist_ok=True)
    (home / "Annotations").mkdir(exist_ok=True)
    for part in parts:
        numbers = PARTS[part]
        (main / f"{part}.txt").write_text("".join(f"{number}\n" for number in numbers))
        for number in numbers:
            image(home / "JPEGImages" / f"{number}.jpg")
            (home / "Annotations" / f"{number}.xml").write_text("<annotation></annotation>")
        for name in CLASSES:
            lines = [f"{number} {VALUES.get((number, name), -1):2d}\n" for number in numbers]
            (main / f"{name}_{part}.txt").write_text("".join(lines))
    trainval = PARTS["train"] + PARTS["val"]
    (main / "trainval.txt").write_text("".join(f"{number}\n" for number in sorted(trainval)))
    return main


@pytest.fixture
def main(tmp_path: Path, image, stand_in) -> Path:
    stand_in("voc2007", classes=20, official=SIZES, images=SIZES)
    return write_voc(tmp_path / "voc2007" / "VOCdevkit" / "VOC2007", image)


def test_several_labels_and_difficult_ones(tmp_path: Path, main: Path) -> None:
    listing = main / "car_train.txt"
    listing.write_text(listing.read_text(), encoding="utf-8-sig")  # as some editors save it
    dataset = load_dataset("voc2007", tmp_path)
    assert (dataset.metric, dataset.multilabel, len(dataset.classes)) == ("mAP", True, 20)
    labels = dataset.labels("train")
    expected = torch.zeros(3, 20, dtype=torch.int64)
    expected[0, CLASSES.index("car")] = 1
    expected[1, CLASSES.index("horse")] = 1
    expected[1, CLASSES.index("person")] = -1  # difficult only
    expected[2, CLASSES.index("bicycle")] = 1
    assert torch.equal(labels, expected) and labels.dtype == torch.int64
    assert dataset.files["val"]().paths == ["JPEGImages/000005.jpg", "JPEGImages/000007.jpg"]
    assert dataset.labels("test").shape == (2, 20)
    assert len(dataset.fingerprint) == 64
    assert dataset.split("train").labels.shape == (3, 20)
    assert list(CLASSES) == sorted(CLASSES)


def test_repeats_of_a_label_are_used_once_and_said(tmp_path: Path, main: Path) -> None:
    untouched = load_dataset("voc2007", tmp_path)
    line = "car_train.txt has 2 lines twice with the same label; used once"
    fingerprint = untouched.fingerprint
    assert line not in quick_check(untouched)
    listing = main / "car_train.txt"
    listing.write_text(listing.read_text() + "\n000012  1\n000017 -1\n")
    (main / "train.txt").write_text("\ufeff\n" + (main / "train.txt").read_text() + "\n", encoding="utf-8")
    load_dataset.cache_clear()
    dataset = load_dataset("voc2007", tmp_path)
    assert dataset.fingerprint == fingerprint
    assert line in quick_check(dataset)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda main: (main / "cow_test.txt").unlink(), r"cow_test\.txt is missing"),
        (
            lambda main: (main / "cow_test.txt").write_text("000001 -1\n000002 2\n"),
            r"cow_test\.txt, line 2: '000002 2' is not an image and 1, 0 or -1",
        ),
        (lambda main: (main / "cow_test.txt").write_text("000001 -1\n"), "differ, first in 000002"),
        (
            lambda main: (main / "cow_test.txt").write_text("000001 -1\n000002 1\n\n000001 0\n"),
            r"cow_test\.txt, line 4: '000001' is 0 here and -1 in line 1; remove the line that is wrong",
        ),
        (
            lambda main: (main / "test.txt").write_text("000001\n000001\n"),
            r"test\.txt, line 2: '000001' is in line 1 too",
        ),
        (lambda main: (main / "test.txt").unlink(), r"cannot be read \(FileNotFoundError: .*test\.txt"),
        (
            lambda main: (main.parents[1] / "JPEGImages" / "000002.jpg").unlink(),
            r"1 of 2 test images of voc2007 are missing from .* first is JPEGImages/000002\.jpg",
        ),
        (lambda main: (main / "test.txt").write_text("000001\n"), "cow|aeroplane"),
    ],
)
def test_damaged_files_are_one_line(tmp_path: Path, main: Path, damage, words: str) -> None:
    damage(main)
    dataset = load_dataset("voc2007", tmp_path)
    assert len(dataset.labels("train")) == 3
    with pytest.raises(UserError, match=words) as error:
        dataset.labels("test")
    assert "\n" not in str(error.value)


def test_both_archives_are_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image, stand_in, serve
) -> None:
    stand_in("voc2007", classes=20, official=SIZES)
    for key, name, parts in (("2007", "trainval", ("train", "val")), ("2007-test", "test", ("test",))):
        write_voc(tmp_path / name / "VOCdevkit" / "VOC2007", image, parts)
        filename = DATASET_YEAR_DICT[key]["filename"]
        address, md5 = serve(tmp_path / name, filename)
        monkeypatch.setitem(DATASET_YEAR_DICT, key, {**DATASET_YEAR_DICT[key], "url": address, "md5": md5})
    download_dataset("voc2007", tmp_path / "data")
    dataset = load_dataset("voc2007", tmp_path / "data")
    assert [len(dataset.labels(split)) for split in ("train", "val", "test")] == [3, 2, 2]
    assert len(VOCDetection(str(tmp_path / "data" / "voc2007"), "2007", "trainval")) == 5
