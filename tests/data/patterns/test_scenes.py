"""The scenes on disk: COCO, label maps and VOC, each read back by a reader that is not ours."""

import json
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from torchvision.datasets import VOCDetection

from mmbench.data.patterns.scenes import SCENE_SIZE, inside, render_scene
from mmbench.data.patterns.textures import CLASSES
from mmbench.data.types import Scenes

SPLITS = {"train": 8, "val": 3, "test": 4}


@pytest.fixture(scope="module")
def scenes(small_patterns: Path) -> Scenes:
    return Scenes(small_patterns / "scenes", CLASSES)


def read_labels(scenes: Scenes, split: str, name: str) -> np.ndarray:
    return np.asarray(Image.open(scenes.segmentation(split) / name))


@pytest.fixture(scope="module")
def many() -> list:
    return [render_scene(0, "train", index) for index in range(30)]


def test_inside_agrees_with_crossing_numbers_counted_point_by_point():
    rng = np.random.default_rng(0)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    polygon = 12 + rng.uniform(3, 11, 9)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    corners = polygon.tolist()
    for factor in (1, 2):
        found = inside(polygon, 24, factor)
        assert found.shape == (24 * factor, 24 * factor)
        for row in range(24 * factor):
            for column in range(24 * factor):
                x, y = (column + 0.5) / factor, (row + 0.5) / factor
                crossings = 0
                for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
                    if min(y0, y1) < y <= max(y0, y1):
                        crossings += x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)
                assert found[row, column] == (crossings % 2 == 1), (x, y)


def test_objects_lie_inside_the_image_and_do_not_overlap(many):
    for scene in many:
        assert scene.image.shape == (SCENE_SIZE, SCENE_SIZE, 3)
        assert scene.image.dtype == np.uint8
        assert 1 <= len(scene.objects) <= 4
        assert sum(thing.mask.astype(int) for thing in scene.objects).max() == 1
        for thing in scene.objects:
            assert thing.polygon.min() >= 0 and thing.polygon.max() <= SCENE_SIZE


def test_objects_vary_in_place_size_number_and_class(many):
    things = [thing for scene in many for thing in scene.objects]
    assert {len(scene.objects) for scene in many} == {1, 2, 3, 4}
    assert len({thing.class_index for thing in things}) == 10
    areas = [thing.mask.sum() for thing in things]
    assert max(areas) > 3 * min(areas)
    centres = np.array([thing.polygon.mean(axis=0) for thing in things])
    assert (centres.std(axis=0) > 0.15 * SCENE_SIZE).all()


def test_objects_stand_out_from_a_dull_background(many):
    for scene in many:
        grey = scene.image.astype(float).mean(axis=2)
        taken = np.any([thing.mask for thing in scene.objects], axis=0)
        assert grey[taken].std() > 1.5 * grey[~taken].std()


def test_a_scene_does_not_depend_on_those_before_it(many):
    again = render_scene(0, "train", 7)
    assert np.array_equal(again.image, many[7].image)
    assert not np.array_equal(render_scene(0, "val", 7).image, many[7].image)
    assert not np.array_equal(render_scene(1, "train", 7).image, many[7].image)


@pytest.mark.parametrize("split", SPLITS)
def test_coco_boxes_areas_and_polygons_agree_with_the_label_maps(scenes, split):
    coco = COCO(str(scenes.coco_json(split)))
    assert coco.loadCats(coco.getCatIds()) == [
        {"id": index, "name": name} for index, name in enumerate(CLASSES, start=1)
    ]
    assert len(coco.getImgIds()) == SPLITS[split]
    for image in coco.loadImgs(coco.getImgIds()):
        assert Image.open(scenes.images(split) / image["file_name"]).size == (image["width"], image["height"])
        labels = read_labels(scenes, split, image["file_name"])
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        assert annotations
        assert set(np.unique(labels)) - {0} == {item["category_id"] for item in annotations}
        assert sum(item["area"] for item in annotations) == (labels > 0).sum()
        for item in annotations:
            assert item["iscrowd"] == 0
            mask = coco.annToMask(item).astype(bool)
            thing = labels == item["category_id"]
            missed = (mask & ~thing).sum()  # pixels on the edge, which rasterisers see differently
            assert missed < 0.08 * mask.sum()
            assert abs(int(mask.sum()) - item["area"]) < 0.08 * item["area"]
            x, y, width, height = item["bbox"]
            polygon = np.array(item["segmentation"][0]).reshape(-1, 2)
            assert np.allclose([x, y], polygon.min(axis=0), atol=0.011)
            assert np.allclose([x + width, y + height], polygon.max(axis=0), atol=0.021)
            own_box = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))))
            assert np.abs(own_box - [x, y, width, height]).max() <= 2


def test_ids_are_unique_and_start_at_one(scenes):
    content = json.loads(scenes.coco_json("train").read_text())
    for part in ("images", "annotations", "categories"):
        assert [item["id"] for item in content[part]] == list(range(1, len(content[part]) + 1))


@pytest.mark.parametrize("split", SPLITS)
def test_label_maps_are_paletted_and_background_is_zero(scenes, split):
    for path in sorted(scenes.segmentation(split).glob("*.png")):
        image = Image.open(path)
        assert image.mode == "P"
        labels = np.asarray(image)
        assert labels.dtype == np.uint8
        assert labels.max() <= len(CLASSES)
        assert (labels == 0).any() and (labels > 0).any()
        palette = np.array(image.getpalette()).reshape(-1, 3)[: len(CLASSES) + 1]
        assert palette[0].tolist() == [0, 0, 0]
        assert len(np.unique(palette, axis=0)) == len(CLASSES) + 1


@pytest.mark.parametrize("split", SPLITS)
def test_voc_layout_holds_the_same_images_boxes_and_label_maps(scenes, split):
    coco = COCO(str(scenes.coco_json(split)))
    names = (scenes.voc / "ImageSets" / "Main" / f"{split}.txt").read_text().split()
    assert (scenes.voc / "ImageSets" / "Segmentation" / f"{split}.txt").read_text().split() == names
    assert names == [Path(image["file_name"]).stem for image in coco.loadImgs(coco.getImgIds())]
    for name, image in zip(names, coco.loadImgs(coco.getImgIds()), strict=True):
        linked = scenes.voc / "JPEGImages" / f"{name}.png"
        assert linked.read_bytes() == (scenes.images(split) / f"{name}.png").read_bytes()
        label_map = scenes.voc / "SegmentationClass" / f"{name}.png"
        assert label_map.read_bytes() == (scenes.segmentation(split) / f"{name}.png").read_bytes()
        tree = ElementTree.parse(scenes.voc / "Annotations" / f"{name}.xml").getroot()
        description = VOCDetection.parse_voc_xml(tree)["annotation"]  # torchvision's reader
        assert description["filename"] == f"{name}.png"
        assert description["size"] == {"width": "96", "height": "96", "depth": "3"}
        annotations = coco.loadAnns(coco.getAnnIds(image["id"]))
        objects = description["object"]
        assert Counter(item["name"] for item in objects) == Counter(
            CLASSES[item["category_id"] - 1] for item in annotations
        )
        for item, annotation in zip(objects, annotations, strict=True):
            x, y, width, height = annotation["bbox"]
            box = {edge: int(value) for edge, value in item["bndbox"].items()}
            assert 1 <= box["xmin"] < box["xmax"] <= 96 and 1 <= box["ymin"] < box["ymax"] <= 96
            assert abs(box["xmin"] - 1 - x) <= 0.51 and abs(box["ymin"] - 1 - y) <= 0.51
            assert abs(box["xmax"] - x - width) <= 0.51 and abs(box["ymax"] - y - height) <= 0.51
            assert item["difficult"] == "0"
