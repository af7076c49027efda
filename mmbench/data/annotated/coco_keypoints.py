"""The keypoints of objects in a COCO file: checked, and put into the order of the data set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmbench.data.annotated.findings import Findings
from mmbench.data.annotated.frames import Frame
from mmbench.data.annotated.keypoint_orders import KeypointOrders

VALUES = 3  # of each keypoint: x, y and visibility
VISIBILITIES = (0, 1, 2)  # not labelled, labelled and hidden, labelled and seen
# Keypoints are fractions of the image if nearly all of at least a few are below such a value and no integers;
# some may lie outside their images.
MOST_SHARE, FEWEST, MOST = 2.0, 3, 0.9
LEAST_SIDE = 8  # px of an image in which that is a corner
HALF = 0.5  # px from an edge of the image to the centre of its first pixel, which is 0 in COCO
OUTSIDE = "not trained on; in evaluation they count, as in COCO's"


class KeypointReader:
    """Reads the keypoints of objects.

    Args:
        orders: where each category has the keypoints of the data set.
        findings: what was done is added here.
    """

    def __init__(self, orders: KeypointOrders, findings: Findings) -> None:
        self._orders, self._findings = orders, findings
        self._labelled = self._fractions = 0  # keypoints: labelled ones, and those that are no pixels

    def read(self, annotation: Mapping[str, Any], frame: Frame, place: str) -> tuple[float, ...] | None:
        """Return (x, y, visibility) of each of the data set's keypoints, flat; None if the object has none.

        Args:
            annotation: the object as the file states it; its category is one of the file's.
            frame: of the image.
            place: the name of the image.
        """
        stated = annotation.get("keypoints")
        if not self._orders.names or stated is None or stated == []:  # as of classes without keypoints
            return None
        order = self._orders.of(annotation.get("category_id"))
        if order.indices is None:
            if order.finding is not None:
                self._findings.add(*order.finding, place)
            return None
        points = _numbers(stated)
        if points is None or len(points) != VALUES * len(order.indices):
            self._findings.add(
                "object with damaged keypoints",
                "objects with damaged keypoints",
                "refused",
                f"x, y and visibility of {len(order.indices)} keypoints are needed, as finite numbers; what "
                "is not labelled has 0, 0, 0",
                place,
            )
            return None
        if unknown := [value for value in points[2::VALUES] if value not in VISIBILITIES]:
            self._findings.add(
                "object whose keypoints have another visibility than 0, 1 or 2",
                "objects whose keypoints have other visibilities than 0, 1 or 2",
                "refused",
                "write 0 for what is not labelled, 1 for what is hidden, and 2 for what is seen",
                f"{unknown[0]:g} in {place}",
            )
            return None
        if order.finding is not None:
            self._findings.add(*order.finding, place)
        self._count(points, frame, place)
        return tuple(
            value for index in order.indices for value in points[VALUES * index : VALUES * (index + 1)]
        )

    def finish(self) -> None:
        """Add a finding about all keypoints together."""
        if self._fractions < max(FEWEST, MOST * self._labelled):
            return
        self._findings.add(
            "file whose keypoints are fractions of the image",
            "files whose keypoints are fractions of the image",
            "refused",
            "COCO's keypoints are pixels; convert them",
            f"{self._fractions} of {self._labelled} labelled keypoints",
        )

    def _count(self, points: tuple[float, ...], frame: Frame, place: str) -> None:
        width, height = frame.width, frame.height
        for x, y, visibility in zip(points[0::VALUES], points[1::VALUES], points[2::VALUES], strict=True):
            if not visibility:
                continue
            if not (-HALF <= x <= width - HALF and -HALF <= y <= height - HALF):
                one, many = "labelled keypoint outside its image", "labelled keypoints outside their images"
                self._findings.add(one, many, "kept", OUTSIDE, place)
            if x or y:  # exporters write 0, 0 for what is not labelled
                self._labelled += 1
                small = max(abs(x), abs(y)) <= MOST_SHARE and min(width, height) > LEAST_SIDE
                self._fractions += small and not (x.is_integer() and y.is_integer())


def _numbers(stated: Any) -> tuple[float, ...] | None:
    """Return finite numbers, None if what is stated is not a list of them.

    NaN and infinity are no JSON, but Python's reader takes them, and evaluators score them differently.
    """
    if not isinstance(stated, list) or not all(type(value) in (int, float) for value in stated):
        return None
    try:
        numbers = tuple(map(float, stated))
    except OverflowError:  # an integer above the largest floating-point number
        return None
    return numbers if all(map(math.isfinite, numbers)) else None
