"""The annotated objects of a split as the evaluators read them: a COCO file, and a VOC folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from mmbench.data.annotated.types import AnnotatedImage, AnnotatedSplit, Instance, Segmentation
from mmbench.errors import UserError
from mmbench.files import write_text

Task = Literal["boxes", "masks", "keypoints"]
VOC_SPLIT, VOC_YEAR = "evaluated", 2007


def counts(instance: Instance) -> bool:
    """Return whether finding an object counts, and missing it too."""
    return not (instance.crowd or instance.difficult)


def check_evaluable(split: AnnotatedSplit, tasks: Sequence[Task]) -> None:
    """Check that a split can be scored; cheap, so that it can be done before the training.

    Raises:
        UserError: no object counts, an object that counts has no mask, or none has a labelled keypoint.
    """
    objects = [instance for image in split.images for instance in image.instances if counts(instance)]
    if not objects:
        raise UserError(
            f"the evaluated split below {split.root} has no object that counts (all are crowds or difficult, "
            "or there is none); fix its annotations"
        )
    if "masks" in tasks and (without := sum(instance.segmentation is None for instance in objects)):
        raise UserError(
            f"{without} of {len(objects)} objects of the evaluated split below {split.root} have no mask; "
            "use a protocol without masks, or --set masks=false"
        )
    if "keypoints" in tasks and not any(_visible(instance.keypoints) for instance in objects):
        raise UserError(
            f"no object of the evaluated split below {split.root} has a labelled keypoint (visibility 1 or "
            "2); label some, or use --set detector=fpn"
        )


def coco_ground_truth(split: AnnotatedSplit, classes: Sequence[str], tasks: Sequence[Task]) -> dict[str, Any]:
    """Return a split as the content of a COCO file; ids of images, categories and objects begin at 1.

    What is crowd or difficult becomes a crowd region: detections in it count neither as right nor as wrong.

    Args:
        classes: names in the order of labels.
        tasks: masks and keypoints are omitted if they are not scored.
    """
    keypoints = max(
        (len(instance.keypoints or ()) for image in split.images for instance in image.instances), default=0
    )
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(split.images, start=1):
        images.append({"id": number, "file_name": image.path, "width": image.width, "height": image.height})
        for instance in image.instances:
            left, top, right, bottom = instance.box
            annotation: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": instance.label + 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": instance.area,
                "iscrowd": 0 if counts(instance) else 1,
            }
            if "masks" in tasks:
                annotation["segmentation"] = _mask(instance)
            if "keypoints" in tasks:
                points = instance.keypoints or (0.0,) * keypoints
                annotation |= {"keypoints": list(points), "num_keypoints": _visible(points)}
            annotations.append(annotation)
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_coco(
    split: AnnotatedSplit, classes: Sequence[str], tasks: Sequence[Task], path: Path
) -> dict[str, Any]:
    """Write `coco_ground_truth` to a file, and return it."""
    content = coco_ground_truth(split, classes, tasks)
    write_text(path, json.dumps(content))
    return content


def write_voc(split: AnnotatedSplit, classes: Sequence[str], folder: Path) -> None:
    """Write a split as VOC: an XML file per image, and the list of images.

    Images are called by their number from 1. Pixels are whole and counted from 1, as in VOC; boxes from VOC
    come back as they were, others are rounded. What is crowd is marked difficult.
    """
    for number, image in enumerate(split.images, start=1):
        path = folder / "Annotations" / f"{number}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        ElementTree.ElementTree(_voc_annotation(image, classes)).write(path, encoding="utf-8")
    names = "".join(f"{number}\n" for number in range(1, len(split.images) + 1))
    write_text(folder / "ImageSets" / "Main" / f"{VOC_SPLIT}.txt", names)


def voc_names(classes: Sequence[str]) -> list[str]:
    """Return the classes as the XML files name them: a name that XML cannot hold becomes its number."""
    return [name if name.isprintable() else f"class {number}" for number, name in enumerate(classes)]


def _voc_annotation(image: AnnotatedImage, classes: Sequence[str]) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    ElementTree.SubElement(root, "filename").text = Path(image.path).name
    size = ElementTree.SubElement(root, "size")
    for name, value in (("width", image.width), ("height", image.height), ("depth", 3)):
        ElementTree.SubElement(size, name).text = str(value)
    names = voc_names(classes)
    for instance in image.instances:
        node = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(node, "name").text = names[instance.label]
        ElementTree.SubElement(node, "pose").text = "Unspecified"
        ElementTree.SubElement(node, "truncated").text = "0"
        ElementTree.SubElement(node, "difficult").text = "0" if counts(instance) else "1"
        left, top, right, bottom = (round(edge) for edge in instance.box)
        box = ElementTree.SubElement(node, "bndbox")
        edges = {
            "xmin": left + 1,
            "ymin": top + 1,
            "xmax": max(left + 1, right),
            "ymax": max(top + 1, bottom),
        }
        for name, value in edges.items():
            ElementTree.SubElement(box, name).text = str(value)
    return root


def _mask(instance: Instance) -> Segmentation:
    """Return the mask; of a region that does not count and has none, the box."""
    if instance.segmentation is None:
        left, top, right, bottom = instance.box
        return [[left, top, right, top, right, bottom, left, bottom]]
    if isinstance(instance.segmentation, dict):
        encoded = instance.segmentation["counts"]
        return {
            **instance.segmentation,
            "counts": encoded.decode("ascii") if isinstance(encoded, bytes) else encoded,
        }
    return instance.segmentation


def _visible(keypoints: Sequence[float] | None) -> int:
    """Return how many keypoints are labelled; (x, y, visibility) each, flat."""
    return sum(visibility > 0 for visibility in (keypoints or ())[2::3])
