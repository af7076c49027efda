"""The keypoints of objects in a COCO file: checked, and put into the order of the data set."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mmbench.data.annotated.findings import Findings
from mmbench.data.annotated.keypoint_orders import KeypointOrders

VALUES = 3  # of each keypoint: x, y and visibility


class KeypointReader:
    """Reads the keypoints of objects.

    Args:
        orders: where each category has the keypoints of the data set.
        findings: what was done is added here.
    """

    def __init__(self, orders: KeypointOrders, findings: Findings) -> None:
        self._orders, self._findings = orders, findings

    def read(self, annotation: Mapping[str, Any], place: str) -> tuple[float, ...] | None:
        """Return (x, y, visibility) of each of the data set's keypoints, flat; None if the object has none.

        Args:
            annotation: the object as the file states it; its category is one of the file's.
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
        return tuple(
            value for index in order.indices for value in points[VALUES * index : VALUES * (index + 1)]
        )


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
