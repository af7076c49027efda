"""Images and objects as annotation files state them, and how they become a split that is used.

Readers of layouts whose files are one per image end here: the frame of each image is determined, boxes are
cleaned, and what is left is an `AnnotatedSplit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmbench.data.annotated.cleaning import box_area, clean
from mmbench.data.annotated.findings import Findings
from mmbench.data.annotated.frames import Frame, frame_of
from mmbench.data.annotated.image_files import image_facts
from mmbench.data.annotated.split_checks import add_repeats
from mmbench.data.annotated.types import AnnotatedImage, Box, Instance


@dataclass(frozen=True, slots=True)
class StatedObject:
    """One object.

    Attributes:
        label: index into the classes.
        box: left, top, right, bottom, in pixels or, if the image says so, as shares of its size.
        polygons: outlines (x1, y1, x2, y2, ...) in the same unit; empty without a mask.
    """

    label: int
    box: Box
    difficult: bool = False
    polygons: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class StatedImage:
    """One image.

    Attributes:
        path: below the root of its split.
        name: what the annotations call it.
        size: width and height as stated; None if they are not.
        relative: whether coordinates are shares of width and height instead of pixels.
    """

    path: str
    name: str
    size: tuple[int, int] | None
    objects: tuple[StatedObject, ...]
    relative: bool = False


def used_images(
    root: Path, stated: Sequence[StatedImage], findings: Findings, *, required: bool
) -> tuple[AnnotatedImage, ...]:
    """Return the images that are used, with their cleaned objects.

    Args:
        root: the folder that paths are below.
        findings: what is unusual is added here.
        required: whether images that are missing or unreadable are refused; otherwise they are dropped.
    """
    used = []
    facts = image_facts(root, [image.path for image in stated])
    for image, fact in zip(stated, facts, strict=True):
        boxes = () if image.relative else tuple(thing.box for thing in image.objects)
        frame = frame_of(fact, image.size, boxes, findings, image.path, required=required)
        if frame is not None:
            used.append(_image(image, frame, findings))
    return tuple(used)


def _image(image: StatedImage, frame: Frame, findings: Findings) -> AnnotatedImage:
    across, down = (frame.width, frame.height) if image.relative else (1.0, 1.0)
    instances = []
    for thing in image.objects:
        left, top, right, bottom = thing.box
        box = clean(
            (left * across, top * down, right * across, bottom * down),
            frame.width,
            frame.height,
            findings,
            image.path,
        )
        if box is None:
            continue
        outlines = [_in_pixels(outline, frame, across, down) for outline in thing.polygons]
        area = sum(map(polygon_area, outlines)) if outlines else box_area(box)
        instances.append(
            Instance(thing.label, box, area, difficult=thing.difficult, segmentation=outlines or None)
        )
    add_repeats(instances, findings, image.path)
    return AnnotatedImage(
        image.path, image.name, frame.width, frame.height, tuple(instances), apply_exif=frame.apply_exif
    )


def _in_pixels(outline: Sequence[float], frame: Frame, across: float, down: float) -> list[float]:
    """Return an outline in pixels, with points outside the image moved to its edge."""
    limits, scale = (frame.width, frame.height), (across, down)
    return [
        min(max(value * scale[place % 2], 0.0), float(limits[place % 2]))
        for place, value in enumerate(outline)
    ]


def polygon_area(outline: Sequence[float]) -> float:
    """Return the area of a polygon (x1, y1, x2, y2, ...) in px², by the shoelace formula.

    >>> polygon_area([0, 0, 4, 0, 4, 3])
    6.0
    """
    xs, ys = outline[0::2], outline[1::2]
    following = zip([*xs[1:], *xs[:1]], [*ys[1:], *ys[:1]], strict=True)
    doubled = sum(x * next_y - next_x * y for x, y, (next_x, next_y) in zip(xs, ys, following, strict=True))
    return abs(doubled) / 2
