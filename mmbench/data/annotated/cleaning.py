"""Cleaning of one box: clipped to its image, dropped where it has no area. Every reader uses this."""

from __future__ import annotations

import math

from mmbench.data.annotated.findings import Findings
from mmbench.data.annotated.types import Box

ROUNDING = 0.02  # px outside the image that decimals of a file explain; clipped without a finding
LEAST_SIDE = 1e-3  # px; a shorter side has no area


def clean(box: Box, width: int, height: int, findings: Findings, place: str) -> Box | None:
    """Return a box clipped to its image, None if nothing is left of it.

    Args:
        box: left, top, right, bottom in pixels, as the file states it.
        width, height: of the image.
        findings: what was done is added here.
        place: where the box is, such as the name of the image.
    """
    left, top, right, bottom = box
    if not (math.isfinite(left + top) and math.isfinite(right + bottom)):
        findings.add(
            "box with a number that is not finite",
            "boxes with numbers that are not finite",
            "dropped",
            "",
            place,
        )
        return None
    if right - left < LEAST_SIDE or bottom - top < LEAST_SIDE:
        findings.add("box without area", "boxes without area", "dropped", "", place)
        return None
    if left >= 0 and top >= 0 and right <= width and bottom <= height:
        return box
    clipped = (max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height)))
    if clipped[2] - clipped[0] < LEAST_SIDE or clipped[3] - clipped[1] < LEAST_SIDE:
        findings.add("box outside its image", "boxes outside their images", "dropped", "", place)
        return None
    if min(left, top) < -ROUNDING or right > width + ROUNDING or bottom > height + ROUNDING:
        findings.add(
            "box partly outside its image",
            "boxes partly outside their images",
            "converted",
            "clipped to the image",
            place,
        )
    return clipped


def box_area(box: Box) -> float:
    """Return the area of a box in px²."""
    return (box[2] - box[0]) * (box[3] - box[1])
