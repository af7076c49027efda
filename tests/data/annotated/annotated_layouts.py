"""Writes one and the same detection data set in every layout that users have.

    from annotated_layouts import rectangles, patterns, write_coco, write_voc, write_yolo

    splits = rectangles({"train": 12, "test": 4})        # 64 px, three classes, quick to render
    splits = patterns({"train": 24, "test": 8})          # scenes of the Patterns data, 96 px, ten classes
    write_coco(tmp_path / "set", splits)                 # or write_voc, write_yolo: the same ground truth

`write_devkit` makes VOC2007 + VOC2012 as unzipped, and `write_coco_2017` COCO's own folders.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmbench.data.patterns.scenes import render_scene
from mmbench.data.patterns.textures import CLASSES as PATTERNS
from mmbench.data.sets.voc2007 import CLASSES as VOC_CLASSES

RECTANGLES = ("red", "green", "blue")
COLOURS = ((220, 40, 40), (40, 200, 60), (50, 60, 220))


@dataclass(frozen=True)
class Thing:
    """One object: an index into the classes, edges in pixels (0 is the edge of the image), an outline."""

    label: int
    box: tuple[float, float, float, float]
    polygon: tuple[float, ...]
    difficult: bool = False


@dataclass(frozen=True)
class Drawn:
    """One image and its objects."""

    name: str
    pixels: NDArray[np.uint8]
    things: tuple[Thing, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]


@dataclass(frozen=True)
class Drawings:
    """A data set before it is written."""

    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[Drawn]]


def rectangles(
    counts: Mapping[str, int],
    classes: tuple[str, ...] = RECTANGLES,
    size: tuple[int, int] = (64, 64),
    seed: int = 0,
    objects: tuple[int, int] = (1, 2),
) -> Drawings:
    """Return images with a few coloured rectangles each; their edges are whole pixels."""
    rng = np.random.default_rng(seed)
    width, height = size
    splits = {}
    for split, count in counts.items():
        drawn = []
        for number in range(count):
            pixels = rng.normal(128, 12, (height, width, 3))
            things = []
            for _ in range(int(rng.integers(objects[0], objects[1] + 1))):
                label = int(rng.integers(len(classes)))
                across, down = (int(side) for side in rng.integers(16, 33, 2))
                left, top = int(rng.integers(0, width - across)), int(rng.integers(0, height - down))
                right, bottom = left + across, top + down
                pixels[top:bottom, left:right] = COLOURS[label % len(COLOURS)]
                outline = (left, top, right, top, right, bottom, left, bottom)
                things.append(Thing(label, (left, top, right, bottom), outline))
            image = pixels.clip(0, 255).astype(np.uint8)
            drawn.append(Drawn(f"{split}-{number:04d}", image, tuple(things)))
        splits[split] = drawn
    return Drawings(classes, splits)


def patterns(counts: Mapping[str, int], seed: int = 0) -> Drawings:
    """Return the first scenes of the Patterns data; edges have two decimals."""
    splits = {}
    for split, count in counts.items():
        drawn = []
        for number in range(count):
            scene = render_scene(seed, split, number)
            things = []
            for thing in scene.objects:
                left, top = thing.polygon.min(axis=0).tolist()
                right, bottom = thing.polygon.max(axis=0).tolist()
                outline = tuple(thing.polygon.ravel().tolist())
                things.append(Thing(thing.class_index, (left, top, right, bottom), outline))
            drawn.append(Drawn(f"{split}-{number:04d}", scene.image, tuple(things)))
        splits[split] = drawn
    return Drawings(PATTERNS, splits)


def coco_content(drawn: Sequence[Drawn], classes: Sequence[str], ending: str = ".png") -> dict[str, Any]:
    """Return the content of a COCO file; ids count from 1."""
    images, annotations = [], []
    for number, image in enumerate(drawn, start=1):
        width, height = image.size
        images.append({"id": number, "file_name": image.name + ending, "width": width, "height": height})
        for thing in image.things:
            left, top, right, bottom = thing.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": thing.label + 1,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "iscrowd": 0,
                    "segmentation": [list(thing.polygon)],
                }
            )
    categories = [
        {"id": index, "name": name, "supercategory": "thing"} for index, name in enumerate(classes, start=1)
    ]
    return {"images": images, "annotations": annotations, "categories": categories}


def save(image: Drawn, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.pixels).save(path, quality=95)


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_coco(
    root: Path, data: Drawings, style: Literal["annotations", "exported", "beside"] = "annotations"
) -> Path:
    """Write COCO layout.

    Args:
        style: "annotations" has annotations/{split}.json and images/{split}/; "exported" has
            {split}/_annotations.coco.json beside the images, with "valid" for val; "beside" has
            {split}.json beside the folder {split}/.
    """
    for split, drawn in data.splits.items():
        content = coco_content(drawn, data.classes)
        if style == "annotations":
            folder, target = root / "images" / split, root / "annotations" / f"{split}.json"
        elif style == "exported":
            folder = root / {"val": "valid"}.get(split, split)
            target = folder / "_annotations.coco.json"
        else:
            folder, target = root / split, root / f"{split}.json"
        for image in drawn:
            save(image, folder / f"{image.name}.png")
        write_json(target, content)
    return root


def write_coco_2017(root: Path, data: Drawings) -> Path:
    """Write COCO's own layout: annotations/instances_{split}2017.json and {split}2017/*.jpg."""
    for split, drawn in data.splits.items():
        for image in drawn:
            save(image, root / f"{split}2017" / f"{image.name}.jpg")
        content = coco_content(drawn, data.classes, ".jpg")
        write_json(root / "annotations" / f"instances_{split}2017.json", content)
    return root


def write_coco_official(root: Path, images: int = 4) -> Path:
    """Write COCO 2017 as unzipped, with COCO's own category ids: instances and keypoints of persons.

    Args:
        images: of train2017; val2017 has two.
    """
    from detectron2.data.datasets.builtin_meta import COCO_CATEGORIES, COCO_PERSON_KEYPOINT_NAMES

    things = [item for item in COCO_CATEGORIES if item["isthing"]]
    data = rectangles({"train": images, "val": 2}, tuple(item["name"] for item in things))
    write_coco_2017(root, data)
    for split, drawn in data.splits.items():
        content = coco_content(drawn, data.classes, ".jpg")
        boxes = content["annotations"]
        instances = [{**box, "category_id": things[box["category_id"] - 1]["id"]} for box in boxes]
        persons = []
        for number, box in enumerate(boxes):
            x, y = box["bbox"][:2]
            points = [x + 1, y + 2, 2, *[0] * 48]
            persons.append({**box, "category_id": 1, "keypoints": points, "num_keypoints": number})
        person = {"id": 1, "name": "person", "keypoints": list(COCO_PERSON_KEYPOINT_NAMES)}
        for name, categories, objects in (
            ("instances", things, instances),
            ("person_keypoints", [person], persons),
        ):
            path = root / "annotations" / f"{name}_{split}2017.json"
            write_json(path, {**content, "categories": categories, "annotations": objects})
    return root


def instance_ids(seed: int) -> NDArray[np.uint16]:
    """Return Cityscapes ids, 64 x 48 px: road, cars, a person in two parts, a group, a caravan."""
    rng = np.random.default_rng(seed)
    ids = np.full((48, 64), 7, np.uint16)
    for number in range(3):
        x, y = rng.integers(0, 50), rng.integers(0, 20)
        ids[y : y + 8, x : x + 12] = 26000 + number
    ids[30:40, 5:9] = ids[30:40, 20:22] = 24003
    ids[41:47, 30:50] = 24
    ids[41:47, 55:60] = 29001
    return ids


def write_cityscapes(root: Path, cities: Mapping[str, Sequence[str]]) -> Path:
    """Write leftImg8bit/ and gtFine/ as unzipped; image number n of a split shows `instance_ids(n)`.

    Args:
        cities: split -> names of images, such as "ulm_000001_000019".
    """
    for split, names in cities.items():
        for seed, name in enumerate(names):
            for folder, ending, pixels in (
                ("leftImg8bit", "leftImg8bit", np.full((48, 64, 3), 50 * seed, np.uint8)),
                ("gtFine", "gtFine_instanceIds", instance_ids(seed)),
            ):
                target = root / folder / split / name.partition("_")[0] / f"{name}_{ending}.png"
                target.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(target)
    return root


def voc_xml(image: Drawn, classes: Sequence[str], decimals: int = 0, ending: str = ".png") -> str:
    """Return the VOC annotation of an image: pixels count from 1, and boxes include both ends."""
    width, height = image.size
    lines = ["<annotation>", f"  <filename>{image.name}{ending}</filename>"]
    lines.append(f"  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>")
    for thing in image.things:
        left, top, right, bottom = thing.box
        edges = {"xmin": left + 1, "ymin": top + 1, "xmax": right, "ymax": bottom}
        box = "".join(
            f"<{tag}>{round(edge, decimals) if decimals else round(edge)}</{tag}>"
            for tag, edge in edges.items()
        )
        lines.append(
            f"  <object><name>{classes[thing.label]}</name><difficult>{int(thing.difficult)}</difficult>"
            f"<bndbox>{box}</bndbox></object>"
        )
    return "\n".join([*lines, "</annotation>", ""])


def write_voc(root: Path, data: Drawings, decimals: int = 0, ending: str = ".png") -> Path:
    """Write VOC layout: JPEGImages/, Annotations/ and ImageSets/Main/{split}.txt."""
    (root / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
    (root / "Annotations").mkdir(exist_ok=True)
    for split, drawn in data.splits.items():
        for image in drawn:
            save(image, root / "JPEGImages" / (image.name + ending))
            text = voc_xml(image, data.classes, decimals, ending)
            (root / "Annotations" / f"{image.name}.xml").write_text(text)
        listing = "".join(f"{image.name}\n" for image in drawn)
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text(listing)
    return root


def write_devkit(root: Path, images: int = 8, seed: int = 0) -> Path:
    """Write VOCdevkit/VOC2007 (trainval, test) and VOCdevkit/VOC2012 (trainval) below `root`, as unzipped.

    Args:
        images: of 2007 trainval and of 2012 trainval; 2007 test has half as many.
    """
    for number, (year, parts) in enumerate(
        (("2007", {"trainval": images, "test": max(2, images // 2)}), ("2012", {"trainval": images}))
    ):
        drawn = rectangles(parts, VOC_CLASSES, seed=seed + number)
        named = {
            part: [
                Drawn(f"{year}_{place:06d}" if year == "2012" else f"{place:06d}", image.pixels, image.things)
                for place, image in enumerate(content, start=0 if part == "trainval" else 5000)
            ]
            for part, content in drawn.splits.items()
        }
        write_voc(root / "VOCdevkit" / f"VOC{year}", Drawings(VOC_CLASSES, named), ending=".jpg")
    return root


def write_yolo(
    root: Path, data: Drawings, polygons: bool = False, decimals: int = 6, settings: str | None = None
) -> Path:
    """Write YOLO layout: data.yaml, images/{split}/ and labels/{split}/.

    Args:
        polygons: write outlines in place of boxes.
        settings: content of data.yaml in place of the usual one.
    """
    for split, drawn in data.splits.items():
        for image in drawn:
            save(image, root / "images" / split / f"{image.name}.png")
            width, height = image.size
            lines = []
            for thing in image.things:
                left, top, right, bottom = thing.box
                values = [
                    (left + right) / 2 / width,
                    (top + bottom) / 2 / height,
                    (right - left) / width,
                    (bottom - top) / height,
                ]
                if polygons:
                    sides = (width, height) * (len(thing.polygon) // 2)
                    values = [value / side for value, side in zip(thing.polygon, sides, strict=True)]
                lines.append(" ".join([str(thing.label), *(f"{value:.{decimals}f}" for value in values)]))
            target = root / "labels" / split / f"{image.name}.txt"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("".join(f"{line}\n" for line in lines))
    usual = "".join(f"{split}: images/{split}\n" for split in data.splits)
    usual += f"nc: {len(data.classes)}\nnames: [{', '.join(data.classes)}]\n"
    (root / "data.yaml").write_text(usual if settings is None else settings)
    return root
