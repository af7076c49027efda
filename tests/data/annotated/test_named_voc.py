"""VOC 2007 + 2012 by name, as its archives are unpacked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from annotated_layouts import write_devkit

from mmbench.data import load_dataset
from mmbench.data.annotated.findings import require_usable
from mmbench.data.annotated.named_voc import CLASSES
from mmbench.data.annotated.types import AnnotatedData
from mmbench.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of the data set `voc` in the data root."""
    return write_devkit(tmp_path / "data" / "voc")


def data_in(root: Path) -> AnnotatedData:
    load_dataset.cache_clear()
    dataset = load_dataset("voc", root.parent)
    assert dataset.annotated is not None and dataset.classes == CLASSES and not dataset.splits
    return dataset.annotated


def test_both_years_are_trained_on_and_2007_is_tested_on(root: Path) -> None:
    data = data_in(root)
    train, test = data.split("train"), data.split("test")
    assert [image.name for image in train.images] == [
        *(f"{number:06d}" for number in range(8)),
        *(f"2012_{number:06d}" for number in range(8)),
    ]
    assert [image.path for image in test.images] == [
        f"VOC2007/JPEGImages/{number:06d}.jpg" for number in range(5000, 5004)
    ]
    assert train.root == root / "VOCdevkit" and set(data.finders) == {"train", "test"}
    assert train.files[:2] == ("VOC2007/ImageSets/Main/trainval.txt", "VOC2012/ImageSets/Main/trainval.txt")
    assert CLASSES[0] == "aeroplane" and CLASSES[-1] == "tvmonitor" and len(CLASSES) == 20
    assert list(CLASSES) == sorted(CLASSES)
    for split in (train, test):
        require_usable(split.findings)
    lines = [finding.line() for finding in train.findings]
    assert (
        "train: 16 images are listed, where VOC has 16551 kept: figures do not compare with published ones"
        in lines
    )


@pytest.mark.parametrize(
    "place", ["voc", "voc/VOCdevkit", ".", "VOCdevkit", "detectron2", "detectron2/VOCdevkit"]
)
def test_places_where_voc_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    write_devkit(tmp_path / "written", images=2)
    (tmp_path / "data").mkdir()
    home = tmp_path / ("" if place.startswith("detectron2") else "data") / place
    home.mkdir(parents=True, exist_ok=True)
    for year in ("VOC2007", "VOC2012"):
        (tmp_path / "written" / "VOCdevkit" / year).rename(home / year)
    if place.startswith("detectron2"):
        monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "detectron2"))
    assert len(data_in(tmp_path / "data" / "voc").split("train").images) == 4


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (
            "VOCdevkit",
            r"put what VOCtrainval_06-Nov-2007\.tar, VOCtest_06-Nov-2007\.tar, VOCtrainval_11-May-2012\.tar",
        ),
        (
            "VOCdevkit/VOC2012",
            r"VOC's trainval of 2012 is missing: .* unpack VOCtrainval_11-May-2012\.tar into .*voc$",
        ),
        (
            "VOCdevkit/VOC2007/ImageSets/Main/test.txt",
            r"VOC's test of 2007 is missing: .* VOCtest_06-Nov-2007\.tar",
        ),
        ("VOCdevkit/VOC2007/Annotations", "VOC's trainval of 2007 is missing"),
    ],
)
def test_what_is_missing_is_named(root: Path, damage: str, words: str) -> None:
    target = root / damage
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    with pytest.raises(UserError, match=words) as error:
        data_in(root)
    assert "\n" not in str(error.value)


def test_test_annotations_that_are_missing_are_refused(root: Path) -> None:
    for path in (root / "VOCdevkit/VOC2007/Annotations").glob("005*.xml"):
        path.unlink()
    data = data_in(root)
    require_usable(data.split("train").findings)
    with pytest.raises(
        UserError, match=r"test: 4 annotation files that cannot be used .*VOC2007/Annotations/005000"
    ):
        require_usable(data.split("test").findings)


def test_nothing_may_be_missing_and_other_classes_are_refused(root: Path) -> None:
    (root / "VOCdevkit/VOC2012/JPEGImages/2012_000003.jpg").unlink()
    with pytest.raises(UserError, match=r"train: 1 image that is missing .*2012_000003"):
        require_usable(data_in(root).split("train").findings)
    path = root / "VOCdevkit/VOC2007/Annotations/005000.xml"
    path.write_text(path.read_text().replace("<name>", "<name>big "))
    with pytest.raises(UserError, match=r"unknown class 'big \w+' .*refused"):
        require_usable(data_in(root).split("test").findings)


def test_voc_counts_from_one_whatever_its_boxes_are(root: Path) -> None:
    path = root / "VOCdevkit/VOC2007/Annotations/005000.xml"
    text = path.read_text()
    start, end = text.index("<xmin>") + 6, text.index("</xmin>")
    path.write_text(f"{text[:start]}0{text[end:]}")
    split = data_in(root).split("test")
    assert split.images[0].instances[0].box[0] == 0
    assert any("partly outside its image" in finding.what for finding in split.findings)


def test_the_classification_set_has_the_boxes_of_2007(root: Path, tmp_path: Path) -> None:
    root.rename(tmp_path / "data" / "voc2007")
    main = tmp_path / "data/voc2007/VOCdevkit/VOC2007/ImageSets/Main"
    assert main.is_dir()
    dataset = load_dataset("voc2007", tmp_path / "data")
    assert dataset.annotated is not None and set(dataset.splits) == {"train", "val", "test"}
    counts = {split: len(dataset.annotated.split(split).images) for split in ("train", "test")}  # type: ignore[arg-type]
    assert counts == {"train": 8, "test": 4}
