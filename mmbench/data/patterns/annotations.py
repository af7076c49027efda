"""Scenes on disk: COCO JSON, segmentation PNGs and the VOC devkit layout, all of the same images."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmbench.data.patterns.scenes import SCENE_SIZE, Scene, SceneObject
from mmbench.data.patterns.textures import CLASSES

VOC_YEAR = "VOC2007"
# Background, then one colour per class: seen when a label map is opened as an image.
PALETTE = (
    (0, 0, 0), (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48),
    (145, 30, 180), (70, 240, 240), (240, 50, 230), (210, 245, 60), (250, 190, 190),
)  # fmt: skip


def bounding_box(thing: SceneObject) -> tuple[float, float, float, float]:
    """Return x, y, width, height of the outline, in pixels."""
    low, high = thing.polygon.min(axis=0), thing.polygon.max(axis=0)
    x, y = (round(float(value), 2) for value in low)
    width, height = (round(float(value), 2) for value in high - low)
    return x, y, width, height


def label_map(scene: Scene) -> NDArray[np.uint8]:
    """Return (S, S) uint8: 0 for background, class index + 1 for things."""
    labels = np.zeros((SCENE_SIZE, SCENE_SIZE), np.uint8)
    for thing in scene.objects:
        labels[thing.mask] = thing.class_index + 1
    return labels


def write_coco(path: Path, names: Sequence[str], scenes: Sequence[Scene]) -> None:
    """Write one COCO instances file; categories are numbered from 1, areas are pixels of the mask."""
    annotations = [
        {
            "image_id": image_id,
            "category_id": thing.class_index + 1,
            "bbox": list(bounding_box(thing)),
            "area": int(thing.mask.sum()),
            "segmentation": [[round(float(value), 2) for value in thing.polygon.ravel()]],
            "iscrowd": 0,
        }
        for image_id, scene in enumerate(scenes, start=1)
        for thing in scene.objects
    ]
    content = {
        "info": {"description": "mmbench Patterns scenes"},
        "licenses": [],
        "images": [
            {"id": number, "file_name": f"{name}.png", "width": SCENE_SIZE, "height": SCENE_SIZE}
            for number, name in enumerate(names, start=1)
        ],
        "annotations": [{"id": number, **fields} for number, fields in enumerate(annotations, start=1)],
        "categories": [{"id": index + 1, "name": name} for index, name in enumerate(CLASSES)],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_label_map(path: Path, scene: Scene) -> None:
    """Write the label map as a paletted PNG, as VOC does."""
    image = Image.fromarray(label_map(scene), mode="P")
    image.putpalette([value for colour in PALETTE for value in colour])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def voc_annotation(name: str, scene: Scene) -> str:
    """Return the VOC XML of one image; VOC counts pixels from 1 and its boxes include both ends."""
    root = ElementTree.Element("annotation")
    for tag, text in (("folder", VOC_YEAR), ("filename", f"{name}.png"), ("segmented", "1")):
        ElementTree.SubElement(root, tag).text = text
    size = ElementTree.SubElement(root, "size")
    for tag, number in (("width", SCENE_SIZE), ("height", SCENE_SIZE), ("depth", 3)):
        ElementTree.SubElement(size, tag).text = str(number)
    for thing in scene.objects:
        x, y, width, height = bounding_box(thing)
        element = ElementTree.SubElement(root, "object")
        fields = (("name", CLASSES[thing.class_index]), ("pose", "Unspecified"), ("truncated", "0"))
        for tag, text in (*fields, ("difficult", "0")):
            ElementTree.SubElement(element, tag).text = text
        box = ElementTree.SubElement(element, "bndbox")
        edges = {"xmin": x + 1, "ymin": y + 1, "xmax": x + width, "ymax": y + height}
        for tag, edge in edges.items():
            ElementTree.SubElement(box, tag).text = str(max(1, min(SCENE_SIZE, round(edge))))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def write_voc(root: Path, split: str, names: Sequence[str], scenes: Sequence[Scene]) -> None:
    """Write the split into the devkit `root`/VOC2007; images and label maps are links to the COCO side.

    VOC's own images are JPEG files; ours stay PNG files, under the folder name that readers expect.
    """
    devkit = root / "voc" / VOC_YEAR
    for folder in (
        "Annotations",
        "JPEGImages",
        "SegmentationClass",
        "ImageSets/Main",
        "ImageSets/Segmentation",
    ):
        (devkit / folder).mkdir(parents=True, exist_ok=True)
    for name, scene in zip(names, scenes, strict=True):
        (devkit / "Annotations" / f"{name}.xml").write_text(voc_annotation(name, scene), encoding="utf-8")
        for source, folder in (("images", "JPEGImages"), ("segmentation", "SegmentationClass")):
            os.link(root / source / split / f"{name}.png", devkit / folder / f"{name}.png")
    listing = "\n".join(names) + "\n"
    for folder in ("Main", "Segmentation"):
        (devkit / "ImageSets" / folder / f"{split}.txt").write_text(listing, encoding="utf-8")
