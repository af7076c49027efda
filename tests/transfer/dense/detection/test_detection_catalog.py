"""Scenes in and out of Detectron2's catalogs, and what is refused."""

from __future__ import annotations

import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from mmbench.data import Scenes
from mmbench.errors import UserError
from mmbench.transfer.dense.detection.catalog import check_annotations, in_catalog, write_subset


def test_catalogs_are_as_before_even_after_a_failure(scenes_dataset) -> None:
    scenes = scenes_dataset.scenes
    datasets, metadata = set(DatasetCatalog), set(MetadataCatalog)
    files = [
        (scenes.coco_json("train"), scenes.images("train")),
        (scenes.coco_json("test"), scenes.images("test")),
    ]
    with pytest.raises(RuntimeError, match="inside"), in_catalog(files) as names:
        assert [len(DatasetCatalog.get(name)) for name in names] == [40, 8]
        assert MetadataCatalog.get(names[0]).thing_classes == list(scenes.classes)
        raise RuntimeError("inside")
    assert (set(DatasetCatalog), set(MetadataCatalog)) == (datasets, metadata)


def test_subset_keeps_its_boxes_and_all_classes(scenes_dataset, tmp_path) -> None:
    source = scenes_dataset.scenes.coco_json("train")
    write_subset(source, [2, 5, 30], tmp_path / "subset.json")
    whole, subset = json.loads(source.read_text()), json.loads((tmp_path / "subset.json").read_text())
    assert subset["images"] == [whole["images"][index] for index in (2, 5, 30)]
    chosen = {image["id"] for image in subset["images"]}
    assert subset["annotations"] == [box for box in whole["annotations"] if box["image_id"] in chosen]
    assert subset["categories"] == whole["categories"]


def test_missing_broken_empty_and_foreign_annotations_are_refused(scenes_dataset, tmp_path) -> None:
    assert check_annotations(scenes_dataset.scenes, "train") == 40
    scenes = Scenes(tmp_path, scenes_dataset.classes)
    with pytest.raises(UserError, match="no annotations of the test split at"):
        check_annotations(scenes, "test")
    path = scenes.coco_json("test")
    path.parent.mkdir()
    for text, complaint in (
        ("{", "is not a COCO annotation file"),
        ('{"images": []}', "is not a COCO annotation file: KeyError"),
        (
            json.dumps({"images": [], "annotations": [], "categories": [{"id": 1, "name": "cat"}]}),
            "has the classes",
        ),
        (
            json.dumps(
                {
                    "images": [],
                    "annotations": [],
                    "categories": [{"id": i, "name": name} for i, name in enumerate(scenes.classes)],
                }
            ),
            "0 images and 0 boxes",
        ),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=complaint) as caught:
            check_annotations(scenes, "test")
        assert "\n" not in str(caught.value)
