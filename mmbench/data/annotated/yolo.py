"""Reads annotations in YOLO layout: a text file per image, with one object per line.

A line holds the class (an index from 0) and centre, width and height of the box, or the class and the outline
(x1 y1 x2 y2 ...); all as shares of the width and height of the image as it is displayed. Where the settings
state kpt_shape, keypoints follow the box: x and y, or x, y and visibility (0, 1 or 2) of each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from mmbench.data.annotated.findings import Findings
from mmbench.data.annotated.stated import StatedImage, StatedObject, used_images
from mmbench.data.annotated.types import AnnotatedSplit
from mmbench.data.annotated.yolo_folder import YoloEntry
from mmbench.data.lists.text_lists import decoded
from mmbench.errors import shown
from mmbench.file_names import IMAGE_ENDINGS

MOST_SHARE = 2.0  # a larger value is not a share of the image; smaller ones are boxes that extend outside it
BOX_VALUES, FEWEST_OUTLINE_VALUES = 4, 6


@dataclass(frozen=True)
class YoloPart:
    """What one split is read from.

    Attributes:
        name: of the split, for findings.
        entries: its images and label files.
        files: data.yaml and lists, below the root.
        required: whether a missing or unreadable image is refused; otherwise it is dropped.
        keypoints: number of keypoints per object and of values per keypoint; None without keypoints.
    """

    name: str
    entries: tuple[YoloEntry, ...]
    files: tuple[str, ...] = ()
    required: bool = False
    keypoints: tuple[int, int] | None = None


def read_yolo(root: Path, part: YoloPart, classes: tuple[str, ...]) -> tuple[AnnotatedSplit, Findings]:
    """Return one split, cleaned, and what was found.

    Args:
        root: the folder that paths are below.
        classes: names, in the order of labels.
    """
    findings = Findings(part.name)
    stated, files = [], list(part.files)
    for entry in dict.fromkeys(part.entries):
        if not entry.image:
            _add_lone(entry, findings, required=part.required)
            continue
        objects: tuple[StatedObject, ...] = ()
        path = root / entry.labels
        if path.is_file():
            files.append(entry.labels)
            objects = _objects(path, len(classes), part.keypoints, entry.labels, findings)
        elif (root / entry.image).is_file():
            findings.add(
                "image without a label file",
                "images without a label file",
                "kept",
                "images without objects",
                entry.image,
            )
        name = entry.image.rpartition(".")[0]
        stated.append(StatedImage(entry.image, name, None, objects, relative=True))
    images = used_images(root, stated, findings, required=part.required)
    return AnnotatedSplit(root, images, tuple(files)), findings


def _add_lone(entry: YoloEntry, findings: Findings, *, required: bool) -> None:
    """Add the finding about a label file without an image."""
    one, many = "label file without an image", "label files without an image"
    place = f"{entry.labels}, {entry.other} is not read" if entry.other else entry.labels
    if required:
        types = ", ".join(ending[1:] for ending in IMAGE_ENDINGS)
        remedy = f"put the images back ({types}), or remove the label files"
        findings.add(one, many, "refused", remedy, place)
    else:
        findings.add(one, many, "dropped", "not trained on", place)


def _objects(
    path: Path, classes: int, keypoints: tuple[int, int] | None, place: str, findings: Findings
) -> tuple[StatedObject, ...]:
    """Return the objects of one label file; lines that cannot be used become findings."""
    try:
        lines = decoded(path.read_bytes()).splitlines()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        findings.add(
            "label file that cannot be read",
            "label files that cannot be read",
            "refused",
            "fix or remove them",
            f"{place} ({reason})",
        )
        return ()
    objects = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            objects.append(_object(line, classes, keypoints))
        except ValueError as error:
            findings.add(
                "line that is not an object",
                "lines that are not objects",
                "refused",
                "write class, x, y, width and height, as shares of the image",
                f"{place} line {number}: {error}",
            )
            continue
        if keypoints is not None:
            one, many = "object with keypoints", "objects with keypoints"
            findings.add(one, many, "converted", "the boxes are used, the keypoints are not", place)
    return tuple(objects)


def _object(line: str, classes: int, keypoints: tuple[int, int] | None) -> StatedObject:
    """Return the object of one line.

    Raises:
        ValueError: the line is not an object.
    """
    words = line.split()
    try:
        label, *values = map(float, words)
    except ValueError:
        raise ValueError(f"{shown(line.strip(), 40)} has a word that is not a number") from None
    if not all(map(math.isfinite, (label, *values))):
        raise ValueError(f"{shown(line.strip(), 40)} has a number that is not finite")
    if label != int(label) or not 0 <= label < classes:
        raise ValueError(f"class {words[0]} is not one of the {classes} classes (0 to {classes - 1})")
    if keypoints is not None:
        values = _box_before_keypoints(values, keypoints)
    elif len(values) != BOX_VALUES:
        _require_outline(values)
    if max(map(abs, values)) > MOST_SHARE:
        raise ValueError(f"{max(values, key=abs):g} is not a share of the image; are these pixels?")
    if len(values) == BOX_VALUES:
        x, y, width, height = values
        box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return StatedObject(int(label), box)
    xs, ys = values[0::2], values[1::2]
    return StatedObject(int(label), (min(xs), min(ys), max(xs), max(ys)), polygons=(tuple(values),))


def _box_before_keypoints(values: list[float], keypoints: tuple[int, int]) -> list[float]:
    needed = BOX_VALUES + math.prod(keypoints)
    if len(values) != needed:
        stated = f"kpt_shape {list(keypoints)}"
        raise ValueError(
            f"{len(values)} values after the class; a box and keypoints of {stated} have {needed}"
        )
    return values[:BOX_VALUES]


def _require_outline(values: list[float]) -> None:
    visibilities = values[BOX_VALUES + 2 :: 3]
    if (len(values) - BOX_VALUES) % 3 == 0 and 2 in visibilities and {0, 1, 2}.issuperset(visibilities):
        raise ValueError("keypoints after the box, it seems; state kpt_shape in data.yaml")
    if len(values) < FEWEST_OUTLINE_VALUES or len(values) % 2:
        hint = "; a score belongs to predictions, remove it" if len(values) == BOX_VALUES + 1 else ""
        raise ValueError(f"{len(values)} values after the class, neither a box nor an outline{hint}")
