"""Annotated images in Detectron2's format, and in its catalogs for the time of one run."""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from mmbench.data.annotated.types import AnnotatedData, AnnotatedImage, AnnotatedSplit, Instance
from mmbench.distributed import on_main

Item = dict[str, Any]


def dataset_dicts(split: AnnotatedSplit, keypoints: int = 0) -> list[Item]:
    """Return a split in Detectron2's format; images are called by their number, from 1.

    Beside Detectron2's keys each dict has "apply_exif", see `AnnotatedImage`.

    Args:
        keypoints: how many each object has; objects without annotated keypoints get as many unlabelled ones.
    """
    return [_item(split, image, number, keypoints) for number, image in enumerate(split.images, start=1)]


def _item(split: AnnotatedSplit, image: AnnotatedImage, number: int, keypoints: int) -> Item:
    return {
        "file_name": str(split.root / image.path),
        "image_id": number,
        "width": image.width,
        "height": image.height,
        "apply_exif": image.apply_exif,
        "annotations": [_annotation(instance, keypoints) for instance in image.instances],
    }


def _annotation(instance: Instance, keypoints: int) -> Item:
    annotation: Item = {
        "bbox": list(instance.box),
        "bbox_mode": BoxMode.XYXY_ABS,
        "category_id": instance.label,
        "iscrowd": int(instance.crowd),
    }
    if instance.segmentation is not None:
        annotation["segmentation"] = instance.segmentation
    if keypoints:
        points = instance.keypoints or (0.0,) * (3 * keypoints)
        # COCO's are numbers of pixels; Detectron2 takes places, so it adds half a pixel to x and y.
        annotation["keypoints"] = [
            value if position % 3 == 2 else value + 0.5 for position, value in enumerate(points)
        ]
    return annotation


@contextlib.contextmanager
def in_catalog(data: AnnotatedData, splits: Sequence[list[Item]]) -> Iterator[list[str]]:
    """Yield catalog names for splits of `dataset_dicts`; afterwards the catalogs are as before.

    Processes that work together use the same names.
    """
    run = on_main(lambda: uuid.uuid4().hex)
    names = [f"mmbench/{run}/{number}" for number in range(len(splits))]
    for name, dicts in zip(names, splits, strict=True):
        DatasetCatalog.register(name, functools.partial(list, dicts))
        metadata = {"thing_classes": list(data.classes)}
        if data.keypoints:
            metadata["keypoint_names"] = _distinct(data.keypoints)
            metadata["keypoint_flip_map"] = list(data.keypoint_flips)  # type: ignore[arg-type]
        MetadataCatalog.get(name).set(**metadata)
    try:
        yield names
    finally:
        for name in names:
            DatasetCatalog.remove(name)
            MetadataCatalog.remove(name)


def _distinct(names: Sequence[str]) -> list[str]:
    """Return names of which those that occurred before have their place behind them.

    Detectron2 finds the keypoints of a mirrored image by name, so the second of a name would get the place of
    the first.
    """
    return [f"{name} #{place}" if name in names[:place] else name for place, name in enumerate(names)]
