"""The objects of one image in a COCO file: read, checked and cleaned."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from mmbench.data.annotated.cleaning import box_area, clean
from mmbench.data.annotated.coco_entries import Entry
from mmbench.data.annotated.coco_json import plain_id
from mmbench.data.annotated.coco_keypoints import KeypointReader
from mmbench.data.annotated.coco_masks import mask_area, mask_box, read_mask
from mmbench.data.annotated.findings import Findings
from mmbench.data.annotated.frames import Frame, frame_of
from mmbench.data.annotated.image_files import ImageFacts
from mmbench.data.annotated.keypoint_orders import KeypointOrders
from mmbench.data.annotated.split_checks import add_repeats
from mmbench.data.annotated.types import AnnotatedImage, Box, Instance, Segmentation
from mmbench.errors import shown

Annotation = Mapping[str, Any]
FLAGS = {
    **dict.fromkeys(("0", "0.0", "false", "no", "none", "null", ""), False),
    **dict.fromkeys(("1", "1.0", "true", "yes"), True),
}
FEWEST = 3  # boxes from which the meaning of their numbers is judged
MOST = 0.9  # share of boxes that says what all are; some may lie partly outside their images
WHOLE = 1.01  # right and bottom of an image as fractions, which may be rounded


class ObjectReader:
    """Reads the objects of images.

    Args:
        labels: label by category id (as `plain_id` gives it), None for categories without a class.
        keypoints: where each category has the keypoints of the data set.
        findings: what was done is added here.
        required: whether a missing or damaged image is refused instead of dropped.
    """

    def __init__(
        self,
        labels: Mapping[Hashable, int | None],
        keypoints: KeypointOrders,
        findings: Findings,
        *,
        required: bool,
    ) -> None:
        self._labels, self._keypoints = labels, KeypointReader(keypoints, findings)
        self._findings, self._required = findings, required
        # Counts of boxes: all; valid as left, top, right, bottom; leaving the image; within 0 and 1.
        self._boxes = self._corners = self._leaving = self._fractions = 0

    def read(self, entry: Entry, facts: ImageFacts | None) -> AnnotatedImage | None:
        """Return one image with its cleaned objects, None if it is not used."""
        stated = [self._stated_box(annotation, entry.path) for annotation in entry.annotations]
        boxes = [box for box in stated if box is not None]
        frame = frame_of(facts, entry.stated, boxes, self._findings, entry.path, required=self._required)
        if frame is None:
            return None
        for box in boxes:
            self._count(box, frame)
        instances = [
            self._instance(annotation, box, frame, entry.path)
            for annotation, box in zip(entry.annotations, stated, strict=True)
        ]
        kept = tuple(instance for instance in instances if instance is not None)
        add_repeats(kept, self._findings, entry.path)
        return AnnotatedImage(entry.path, entry.name, frame.width, frame.height, kept, frame.apply_exif)

    def finish(self) -> None:
        """Add findings about all boxes together."""
        self._keypoints.finish()
        if self._boxes < FEWEST:
            return
        if self._corners == self._boxes and 2 * self._leaving >= self._boxes:
            meaning, remedy, found = "left, top, right, bottom", "left, top, width, height", self._boxes
        elif self._fractions >= MOST * self._boxes:
            meaning, remedy, found = "fractions of the image", "pixels", self._fractions
        else:
            return
        self._findings.add(
            f"file whose boxes are {meaning}",
            f"files whose boxes are {meaning}",
            "refused",
            f"COCO's bbox is {remedy}; convert them",
            f"{'all' if found == self._boxes else f'{found} of'} {self._boxes} boxes",
        )

    def _stated_box(self, annotation: Annotation, place: str) -> Box | None:
        """Return left, top, right, bottom as stated, None if there is no box."""
        stated = annotation.get("bbox")
        if not stated:
            return None
        try:
            if isinstance(stated, str):  # its characters are no numbers
                raise ValueError
            left, top, width, height = map(float, stated)
        except (TypeError, ValueError, OverflowError):
            self._refuse(
                "box that is not four numbers", "boxes that are not four numbers", "correct them", place
            )
            return None
        return left, top, left + width, top + height

    def _count(self, box: Box, frame: Frame) -> None:
        left, top, right, bottom = box
        width, height = right - left, bottom - top
        self._boxes += 1
        self._corners += left < width <= frame.width and top < height <= frame.height
        small = 0 < width <= right <= WHOLE and 0 < height <= bottom <= WHOLE
        self._fractions += small and min(frame.width, frame.height) > 2
        self._leaving += right > frame.width + 1 or bottom > frame.height + 1

    def _instance(self, annotation: Annotation, box: Box | None, frame: Frame, place: str) -> Instance | None:
        label = self._label(annotation, place)
        if label is None:
            return None
        crowd = self._flag(annotation, "iscrowd", place)
        segmentation = self._mask(annotation, crowd, frame, place)
        if box is None and segmentation is not None:
            box = mask_box(segmentation, frame.width, frame.height)
            self._convert(
                "object without a box", "objects without a box", "the extent of the mask is used", place
            )
        if box is None:
            self._findings.add(
                "object without box and mask", "objects without box and mask", "dropped", "", place
            )
            return None
        cleaned = clean(box, frame.width, frame.height, self._findings, place)
        if cleaned is None:
            return None
        if crowd:
            self._findings.add(
                "crowd region",
                "crowd regions",
                "kept",
                "not trained on, and detections in them count neither as right nor as wrong",
                place,
            )
        elif "iscrowd" not in annotation:
            self._convert(
                "object without iscrowd", "objects without iscrowd", "read as single objects", place
            )
        difficult = [self._flag(annotation, key, place) for key in ("ignore", "difficult")]
        if any(difficult):
            self._convert(
                "object marked to be ignored",
                "objects marked to be ignored",
                "difficult: trained on, not counted in evaluation",
                place,
            )
        area = self._area(annotation, cleaned, box, segmentation, frame, place)
        keypoints = self._keypoints.read(annotation, frame, place)
        return Instance(label, cleaned, area, crowd, any(difficult), segmentation, keypoints)

    def _label(self, annotation: Annotation, place: str) -> int | None:
        stated = annotation.get("category_id")
        try:
            return self._labels[stated if type(stated) is int else plain_id(stated)]
        except KeyError:
            self._refuse(
                "object of an unknown category",
                "objects of unknown categories",
                "list the category in 'categories'",
                f"category_id {shown(stated)} in {place}",
            )
            return None

    def _mask(self, annotation: Annotation, crowd: bool, frame: Frame, place: str) -> Segmentation | None:
        if "segmentation" not in annotation:
            return None
        mask = read_mask(annotation["segmentation"], frame.width, frame.height)
        if mask.problem:
            remedy = "export the masks again, or remove them to use boxes alone"
            self._refuse(mask.problem, mask.problem, remedy, place)
        elif mask.lost:
            self._findings.add(
                "polygon with fewer than three corners",
                "polygons with fewer than three corners",
                "dropped",
                "",
                place,
            )
        for _ in range(mask.outside):
            one, many = "polygon outside its image", "polygons outside their images"
            self._findings.add(one, many, "dropped", "", place)
        if mask.segmentation is None and not mask.problem:
            self._findings.add(
                "object with an empty mask",
                "objects with an empty mask",
                "kept",
                "the box is used, and a run with masks refuses it",
                place,
            )
        elif isinstance(mask.segmentation, dict) and not crowd:
            self._findings.add("mask as RLE", "masks as RLE", "kept", "", place)
        return mask.segmentation

    def _area(
        self,
        annotation: Annotation,
        box: Box,
        stated_box: Box,
        mask: Segmentation | None,
        frame: Frame,
        place: str,
    ) -> float:
        try:
            area = float(annotation["area"])
        except (KeyError, TypeError, ValueError, OverflowError):
            area = 0.0
        if 0 < area < float("inf"):
            return box_area(box) if mask is None and box != stated_box else area
        source = "box" if mask is None else "mask"
        self._convert(
            "object without an area", "objects without an area", f"computed from the {source}", place
        )
        if mask is None:
            return box_area(box)
        return mask_area(mask, frame.width, frame.height) or box_area(box)

    def _flag(self, annotation: Annotation, key: str, place: str) -> bool:
        """Return a flag, which may be stored as a number or as text."""
        value = annotation.get(key, 0)
        if value == 0 or value is None:
            return False
        known = FLAGS.get(value.strip().lower()) if isinstance(value, str) else None
        if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
            known = True
        if known is None:
            one, many = f"object whose {key} is not 0 or 1", f"objects whose {key} is not 0 or 1"
            self._refuse(one, many, "correct them", f"{shown(value)} in {place}")
        return bool(known)

    def _convert(self, one: str, many: str, remedy: str, place: str) -> None:
        self._findings.add(one, many, "converted", remedy, place)

    def _refuse(self, one: str, many: str, remedy: str, place: str) -> None:
        self._findings.add(one, many, "refused", remedy, place)


def read_objects(
    reader: ObjectReader, entries: Sequence[Entry], facts: Sequence[ImageFacts | None]
) -> list[AnnotatedImage]:
    """Return the images that are used."""
    found = [reader.read(entry, fact) for entry, fact in zip(entries, facts, strict=True)]
    reader.finish()
    return [image for image in found if image is not None]
