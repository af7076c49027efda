"""VOC2012 with SBD, Cityscapes and ADE20K by name: labels are those of the mask files, pixel by pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detectron2.data.datasets.builtin_meta import CITYSCAPES_CATEGORIES
from mmseg.datasets import ADE20KDataset, CityscapesDataset, PascalVOCDataset
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

from mmbench.data import load_dataset
from mmbench.data.annotated.findings import require_usable
from mmbench.data.annotated.types import AnnotatedData
from mmbench.data.label_maps.cityscapes import LABELS
from mmbench.data.label_maps.palettes import voc_palette
from mmbench.data.label_maps.pixels import read_labels


@pytest.fixture(autouse=True)
def no_other_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MMBENCH_DATA", raising=False)
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)


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
