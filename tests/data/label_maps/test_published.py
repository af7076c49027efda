"""VOC2012 with SBD, Cityscapes and ADE20K by name: labels are those of the mask files, pixel by pixel."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from detectron2.data.datasets.builtin_meta import CITYSCAPES_CATEGORIES
from mmseg.datasets import ADE20KDataset, CityscapesDataset, PascalVOCDataset
from PIL import Image
from published_layouts import (
    Values,
    ade20k_names,
    ade20k_values,
    cityscapes_ids,
    cityscapes_names,
    sbd_values,
    train_ids,
    voc_colours,
    voc_names,
    voc_values,
    write_ade20k,
    write_cityscapes,
    write_voc12aug,
)

from mmbench.data import download_dataset, load_dataset
from mmbench.data.annotated.findings import require_usable
from mmbench.data.annotated.types import AnnotatedData
from mmbench.data.label_maps.cityscapes import LABELS
from mmbench.data.label_maps.palettes import voc_palette
from mmbench.data.label_maps.pixels import read_labels
from mmbench.errors import UserError
from mmbench.tools.data_check import check_dataset


def maps_of(name: str, root: Path) -> AnnotatedData:
    load_dataset.cache_clear()
    return load_dataset(name, root).require_label_maps()


def check(data: AnnotatedData, split: str, expected: dict[str, Values]) -> None:
    """Compare names, sizes and labels of all pixels; nothing is refused, and the count is said to differ."""
    found = data.split(split)
    require_usable(found.findings)
    assert [image.name for image in found.images] == sorted(expected)
    for image in found.images:
        truth = expected[image.name]
        assert (image.height, image.width) == truth.shape
        assert image.label_map is not None and data.label_maps is not None
        labels = read_labels(found.root / image.label_map, data.label_maps.coding)
        assert labels.dtype == np.uint8 and (labels == truth).all()
    lines = [finding.what for finding in found.findings if "images are there, where" in finding.what]
    assert len(lines) == 1 and lines[0].startswith(f"{split}: {len(expected)} images")


def test_voc_has_its_own_masks_and_those_of_sbd(tmp_path: Path) -> None:
    write_voc12aug(tmp_path / "voc12aug", prepared=True)
    data, names = maps_of("voc12aug", tmp_path), voc_names()
    assert data.classes == PascalVOCDataset.METAINFO["classes"] and list(data.finders) == ["train", "val"]
    assert data.label_maps is not None and data.label_maps.background == 0
    assert [list(colour) for colour in data.label_maps.palette] == PascalVOCDataset.METAINFO["palette"]
    own = {name: voc_values(name) for name in (*names["train"], *names["val"])}
    added = {name: sbd_values(name) for name in names["added"]}
    check(data, "train", {name: own[name] for name in names["train"]} | added)
    check(data, "val", {name: own[name] for name in names["val"]})


def test_the_palette_is_that_of_voc() -> None:
    assert [value for colour in voc_palette() for value in colour] == voc_colours()


@pytest.mark.parametrize("maps", ["trainids", "ids", "both"])
def test_cityscapes_has_the_same_labels_from_either_file(tmp_path: Path, maps: str) -> None:
    write_cityscapes(tmp_path / "cityscapes", maps=maps)
    data = maps_of("cityscapes", tmp_path)
    assert data.classes == CityscapesDataset.METAINFO["classes"]
    assert data.label_maps is not None and data.label_maps.background is None
    assert [list(colour) for colour in data.label_maps.palette] == CityscapesDataset.METAINFO["palette"]
    assert bool(data.remarks) == (maps == "ids")
    for split, names in cityscapes_names().items():
        truth = {f"{name.partition('_')[0]}/{name}": train_ids(cityscapes_ids(name)) for name in names}
        check(data, split, truth)


def test_ids_of_cityscapes_are_those_of_its_scripts() -> None:
    known = {item["trainId"]: (item["id"], item["name"]) for item in CITYSCAPES_CATEGORIES}
    assert known == {label: (number, name) for label, (number, name, _) in enumerate(LABELS)}


def test_ade20k_has_150_classes_and_0_does_not_count(tmp_path: Path) -> None:
    write_ade20k(tmp_path / "ade20k")
    data = maps_of("ade20k", tmp_path)
    known = ADE20KDataset.METAINFO
    assert list(data.classes) == [name.strip() for name in known["classes"]]
    assert data.label_maps is not None and data.label_maps.background is None
    assert [list(colour) for colour in data.label_maps.palette] == known["palette"]
    for split, folder in (("train", "training"), ("val", "validation")):
        values = {name: ade20k_values(name) for name in ade20k_names()[folder]}
        reduced = {
            name: np.where(mask == 0, 255, mask.astype(int) - 1).astype(np.uint8)
            for name, mask in values.items()
        }
        check(data, split, reduced)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


@pytest.mark.parametrize(
    ("name", "lost", "damage", "message"),
    [
        (
            "voc12aug",
            "voc12aug/VOCdevkit/VOC2012/SegmentationClassAug/2008_000001.png",
            Path.unlink,
            "train: 1 image without a label map .*2008_000001.jpg.* refused: unpack .*benchmark.tgz of",
        ),
        (
            "voc12aug",
            "voc12aug/VOCdevkit/VOC2012/JPEGImages/2007_000002.jpg",
            Path.unlink,
            "train: 1 label map without an image .*2007_000002.png.* refused: unpack VOCtrainval_11-May",
        ),
        (
            "cityscapes",
            "cityscapes/leftImg8bit/train/ulm",
            shutil.rmtree,
            "train: 2 label maps without images .* refused: unpack leftImg8bit_trainvaltest.zip",
        ),
        (
            "cityscapes",
            "cityscapes/gtFine/train/ulm",
            shutil.rmtree,
            "train: 2 images without label maps .* refused: unpack .*gtFine_trainvaltest.zip again",
        ),
        (
            "ade20k",
            "ade20k/ADEChallengeData2016/annotations/training/ADE_train_00000002.png",
            truncate,
            "train: 1 label map that cannot be decoded .*2.png.* refused: unpack ADEChallengeData2016.zip",
        ),
        (
            "ade20k",
            "ade20k/ADEChallengeData2016/annotations/training",
            shutil.rmtree,
            "train: 4 images without label maps .* refused: unpack ADEChallengeData2016.zip again",
        ),
    ],
)
def test_what_was_unpacked_in_part_is_refused(
    tmp_path: Path, name: str, lost: str, damage: Callable[[Path], object], message: str
) -> None:
    if name == "voc12aug":
        write_voc12aug(tmp_path / name, prepared=True)
    elif name == "cityscapes":
        write_cityscapes(tmp_path / name)
    else:
        write_ade20k(tmp_path / name)
    damage(tmp_path / lost)
    with pytest.raises(UserError, match=message):
        require_usable(maps_of(name, tmp_path).split("train").findings)
    _, problems = check_dataset(name, tmp_path)
    assert re.match(message.replace(" refused", ": refused"), problems[0])


@pytest.mark.parametrize(
    ("name", "archive"),
    [
        ("voc12aug", "VOCtrainval_11-May-2012.tar"),
        ("cityscapes", "gtFine_trainvaltest.zip"),
        ("ade20k", "ADEChallengeData2016.zip"),
    ],
)
def test_a_data_set_that_is_not_there_names_its_archive(tmp_path: Path, name: str, archive: str) -> None:
    with pytest.raises(UserError, match=f"'{name}' is not there; put .*{archive}.* into .*not set: "):
        maps_of(name, tmp_path)
    with pytest.raises(UserError, match=f"'{name}' cannot be downloaded here .*{archive}"):
        download_dataset(name, tmp_path)


def test_ade20k_without_a_part_names_its_archive(tmp_path: Path) -> None:
    write_ade20k(tmp_path / "ade20k", val=0)
    with pytest.raises(UserError, match=r"ADE20K in .* has no files of validation; unpack ADEChall"):
        maps_of("ade20k", tmp_path).split("val")


def test_label_maps_of_cityscapes_need_no_instances(tmp_path: Path) -> None:
    root = write_cityscapes(tmp_path / "cityscapes")
    dataset = load_dataset("cityscapes", tmp_path)
    assert dataset.annotated is None and not check_dataset("cityscapes", tmp_path)[1]
    for path in root.rglob("*_labelTrainIds.png"):
        path.rename(path.with_name(path.name.replace("labelTrainIds", "instanceIds")))
    load_dataset.cache_clear()
    dataset = load_dataset("cityscapes", tmp_path)
    assert dataset.annotated is not None and dataset.label_maps is None


def test_where_half_of_cityscapes_has_labels_the_ids_are_read(tmp_path: Path) -> None:
    root = write_cityscapes(tmp_path / "cityscapes", maps="both")
    next(root.rglob("*_labelTrainIds.png")).unlink()
    data = maps_of("cityscapes", tmp_path)
    assert "as 1 of 6 scenes have no *_gtFine_labelTrainIds.png; both mean the same" in data.remarks[0]
    for split, names in cityscapes_names().items():
        truth = {f"{name.partition('_')[0]}/{name}": train_ids(cityscapes_ids(name)) for name in names}
        check(data, split, truth)


@pytest.mark.parametrize("place", ["voc/VOCdevkit", "VOCdevkit", "detectron2/VOC"])
def test_voc2012_is_found_where_detection_has_it(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write_voc12aug(tmp_path / "voc12aug", prepared=True)
    target = tmp_path / place / "VOC2012"
    target.parent.mkdir(parents=True)
    (written / "VOCdevkit" / "VOC2012").rename(target)
    if place.startswith("detectron2"):
        monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "detectron2"))
    assert maps_of("voc12aug", tmp_path).root == target


def test_contents_are_the_identity(tmp_path: Path) -> None:
    write_ade20k(tmp_path / "ade20k")
    before = maps_of("ade20k", tmp_path).fingerprint()
    assert maps_of("ade20k", tmp_path).fingerprint() == before
    path = next((tmp_path / "ade20k").rglob("ADE_val_00000001.png"))
    labels = np.asarray(Image.open(path)).copy()
    labels[0, 0] = labels[0, 0] % 150 + 1
    Image.fromarray(labels).save(path)
    assert maps_of("ade20k", tmp_path).fingerprint() != before
