"""Scenes in and out of Detectron2's catalogs, and what is refused."""

from __future__ import annotations

import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from mmbench.data import Scenes
from mmbench.errors import UserError
from mmbench.transfer.dense.detection.catalog import check_annotations, draw_subset, in_catalog


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


def test_subset_is_drawn_by_the_seed_and_keeps_its_boxes(scenes_dataset, tmp_path) -> None:
    source = scenes_dataset.scenes.coco_json("train")
    drawn = {}
    for name, seed in (("a", 1), ("again", 1), ("b", 2)):
        assert draw_subset(source, 7, seed, tmp_path / name) == 7
        drawn[name] = json.loads((tmp_path / name).read_text())
    assert drawn["a"] == drawn["again"]
    assert drawn["a"]["images"] != drawn["b"]["images"]
    chosen = {image["id"] for image in drawn["a"]["images"]}
    whole = json.loads(source.read_text())
    assert drawn["a"]["annotations"] == [box for box in whole["annotations"] if box["image_id"] in chosen]
    assert drawn["a"]["categories"] == whole["categories"]


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
            "0 pictures and 0 boxes",
        ),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=complaint) as caught:
            check_annotations(scenes, "test")
        assert "\n" not in str(caught.value)
