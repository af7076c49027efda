"""The keypoints of objects in a COCO file: checked, and put into the order of the data set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmbench.data.annotated.findings import Findings
from mmbench.data.annotated.frames import Frame
from mmbench.data.annotated.keypoint_orders import KeypointOrders

VALUES = 3  # of each keypoint: x, y and visibility
# Keypoints are fractions of the image if nearly all of at least a few are below such a value and no integers;
# some may lie outside their images.
MOST_SHARE, FEWEST, MOST = 2.0, 3, 0.9
LEAST_SIDE = 8  # px of an image in which that is a corner


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
                f"finite x, y and visibility of {len(order.indices)} keypoints are needed; what is not "
                "labelled has 0, 0, 0",
                place,
            )
            return None
        if order.finding is not None:
            self._findings.add(*order.finding, place)
        self._count(points, frame)
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

    def _count(self, points: tuple[float, ...], frame: Frame) -> None:
        for x, y, visibility in zip(points[0::3], points[1::3], points[2::3], strict=True):
            if visibility and (x or y):  # exporters write 0, 0 for what is not labelled
                self._labelled += 1
                small = max(abs(x), abs(y)) <= MOST_SHARE and min(frame.width, frame.height) > LEAST_SIDE
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
