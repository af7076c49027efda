"""Cityscapes as unzipped: objects and crowd regions of the files of instance ids, read once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from annotated_layouts import instance_ids, write_cityscapes
from detectron2.data.datasets.builtin_meta import CITYSCAPES_CATEGORIES
from PIL import Image
from pycocotools import mask as coco_mask

from mmbench.data import load_dataset
from mmbench.data.annotated import cityscapes
from mmbench.data.annotated.cityscapes import CLASSES, LABELS
from mmbench.data.annotated.findings import require_usable
from mmbench.data.file_facts import fact_database, file_cache
from mmbench.data.plain_images import plain_images
from mmbench.errors import UserError

CITIES = {"train": ("ulm_000001_000019", "jena_000002_000019"), "val": ("ulm_000003_000019",)}


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MMBENCH_DATA", raising=False)
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    monkeypatch.setattr(fact_database, "WORTH_KEEPING_SECONDS", -1.0)
    monkeypatch.setattr(file_cache, "UNSETTLED_SECONDS", -1000.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return write_cityscapes(tmp_path / "data" / "cityscapes", CITIES).parent


def test_labels_are_those_of_cityscapes() -> None:
    known = {item["id"]: item["name"] for item in CITYSCAPES_CATEGORIES if item["isthing"]}
    assert known == LABELS and tuple(known.values()) == CLASSES


def test_objects_are_those_of_the_ids(home: Path) -> None:
    data = load_dataset("cityscapes", home).require_annotated()
    assert data.classes == CLASSES and list(data.finders) == ["train", "val"]
    train = data.split("train")
    require_usable(train.findings)
    assert [image.name for image in train.images] == ["jena/jena_000002_000019", "ulm/ulm_000001_000019"]
    for image, seed in zip(train.images, (1, 0), strict=True):
        ids, left = instance_ids(seed), {24, 24003, 26000, 26001, 26002}
        for item in image.instances:
            mask = coco_mask.decode(item.segmentation)
            (instance,) = set(ids[mask == 1].tolist())
            assert (mask == (ids == instance)).all() and item.area == mask.sum()
            rows, columns = np.nonzero(mask)
            assert item.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert CLASSES[item.label] == ("car" if instance >= 26000 else "person")
            assert item.crowd == (instance == 24)
            left.remove(instance)
        assert left <= set(range(26000, 26003)) - set(ids.ravel().tolist())
    kinds = {finding.what.partition(" ")[2].partition(" ")[2]: finding.action for finding in train.findings}
    assert kinds["regions of many objects"] == "kept"


def test_files_are_read_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_dataset("cityscapes", home).require_annotated().split("val")
    load_dataset.cache_clear()
    monkeypatch.setattr(cityscapes, "_one", lambda *arguments: pytest.fail("read again"))
    assert load_dataset("cityscapes", home).require_annotated().split("val") == first
    target = home / "cityscapes" / "gtFine" / "val" / "ulm" / "ulm_000003_000019_gtFine_instanceIds.png"
    before = first.fingerprint()
    monkeypatch.undo()
    monkeypatch.setattr(file_cache, "UNSETTLED_SECONDS", -1000.0)
    Image.fromarray(instance_ids(5)).save(target)
    load_dataset.cache_clear()
    changed = load_dataset("cityscapes", home).require_annotated().split("val")
    assert changed != first and changed.fingerprint() != before


@pytest.mark.parametrize("damage", ["missing image", "missing ids", "damaged ids", "colours", "size"])
def test_what_is_incomplete_is_refused(home: Path, damage: str) -> None:
    folder = home / "cityscapes"
    image = folder / "leftImg8bit" / "val" / "ulm" / "ulm_000003_000019_leftImg8bit.png"
    ids = folder / "gtFine" / "val" / "ulm" / "ulm_000003_000019_gtFine_instanceIds.png"
    if "missing" in damage:
        (image if "image" in damage else ids).unlink()
    elif damage == "damaged ids":
        ids.write_bytes(ids.read_bytes()[:60])
    else:
        Image.new("RGB" if damage == "colours" else "L", (32, 32)).save(ids)
    split = load_dataset("cityscapes", home).require_annotated().split("val")
    with pytest.raises(UserError, match="refused"):
        require_usable(split.findings)


def test_pretraining_and_what_is_not_there(home: Path, tmp_path: Path) -> None:
    dataset = plain_images(load_dataset("cityscapes", home))
    assert dataset.split("train", fed=16).images.shape == (2, 3, 20, 20)
    with pytest.raises(UserError, match="data set 'cityscapes' is not there"):
        load_dataset("cityscapes", tmp_path)
