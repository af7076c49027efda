"""Scenes in Detectron2's catalogs for the time of one run."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances

from mmbench.data import Scenes
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.files import write_json


def check_annotations(scenes: Scenes, split: Split) -> int:
    """Return the number of images of a split.

    Raises:
        UserError: the COCO file is missing or unreadable, has no boxes, or has other classes.
    """
    path = scenes.coco_json(split)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        categories = tuple(
            item["name"] for item in sorted(content["categories"], key=lambda item: int(item["id"]))
        )
        images, boxes = len(content["images"]), len(content["annotations"])
    except FileNotFoundError:
        raise UserError(
            f"no annotations of the {split} split at {path}; prepare the data set again"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a COCO annotation file: {error!r}") from None
    if categories != scenes.classes:
        raise UserError(f"{path} has the classes {categories[:4]}..., the data set {scenes.classes[:4]}...")
    if images == 0 or boxes == 0:
        raise UserError(f"{path} has {images} images and {boxes} boxes; detection needs both")
    return images


def write_subset(source: Path, indices: Sequence[int], target: Path) -> None:
    """Write a COCO file with the images of `source` at `indices`, and their annotations."""
    content = json.loads(source.read_text(encoding="utf-8"))
    content["images"] = [content["images"][index] for index in indices]
    kept = {image["id"] for image in content["images"]}
    content["annotations"] = [item for item in content["annotations"] if item["image_id"] in kept]
    write_json(target, content)


@contextlib.contextmanager
def in_catalog(files: list[tuple[Path, Path]]) -> Iterator[list[str]]:
    """Yield catalog names for (COCO file, folder of images) pairs; afterwards the catalogs are as before."""
    names = [f"mmbench/{uuid.uuid4().hex}/{number}" for number in range(len(files))]
    for name, (coco_json, images) in zip(names, files, strict=True):
        register_coco_instances(name, {}, str(coco_json), str(images))
    try:
        yield names
    finally:
        for name in names:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)
