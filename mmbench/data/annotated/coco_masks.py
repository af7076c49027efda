"""Masks as COCO files state them: polygons, and run lengths (RLE) as lists or compressed.

pycocotools is needed for run lengths that are lists, and to compute an area or a box from a mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmbench.data.annotated.types import Box, Segmentation
from mmbench.errors import MissingExtraError

INSTALL = "pip install 'mmbench[detection]'"


@dataclass(frozen=True, slots=True)
class Mask:
    """A mask that was read.

    Attributes:
        segmentation: polygons or compressed RLE; None if there is no mask.
        lost: number of polygons with fewer than three corners, which are not masks.
        outside: number of polygons that lie wholly outside the image.
        problem: why the mask cannot be used, "" if it can or if there is none.
    """

    segmentation: Segmentation | None = None
    lost: int = 0
    outside: int = 0
    problem: str = ""


def read_mask(stated: Any, width: int, height: int) -> Mask:
    """Return the mask of one object.

    Args:
        stated: the value of "segmentation".
        width, height: of the image, in pixels.
    """
    if isinstance(stated, dict):
        return _run_lengths(stated, width, height)
    if not isinstance(stated, list):
        return Mask() if stated in (None, "") else Mask(problem="masks that are neither polygons nor RLE")
    if stated and not isinstance(stated[0], list):
        stated = [stated]  # one polygon without its list
    polygons, lost = [], 0
    for polygon in stated:
        if not isinstance(polygon, list):
            return Mask(problem="masks that are neither polygons nor RLE")
        if len(polygon) >= 6 and len(polygon) % 2 == 0:
            polygons.append(polygon)
        elif polygon:
            lost += 1
    try:
        finite = math.isfinite(sum(map(sum, polygons)))
    except TypeError:
        return Mask(problem="polygons that are not numbers")
    except OverflowError:  # an integer above the largest floating-point number
        finite = False
    if not finite:
        return Mask(problem="polygons with numbers that are not finite")
    inside = [polygon for polygon in polygons if _reaches(polygon, width, height)]
    return Mask(inside or None, lost, len(polygons) - len(inside))


def _reaches(polygon: Sequence[float], width: int, height: int) -> bool:
    """Return whether a polygon may cover a part of its image: it does not lie beside one of its edges."""
    if 0 <= polygon[0] < width and 0 <= polygon[1] < height:  # nearly always, and quick
        return True
    across, down = polygon[0::2], polygon[1::2]
    return max(across) > 0 and min(across) < width and max(down) > 0 and min(down) < height


def _run_lengths(stated: dict[str, Any], width: int, height: int) -> Mask:
    counts, size = stated.get("counts"), stated.get("size")
    if not isinstance(size, list) or size != [height, width]:
        return Mask(problem="RLE masks of another size than their images")
    damaged = Mask(problem="damaged RLE masks")
    if isinstance(counts, str):
        lengths = _decompressed(counts)
        if lengths is None or lengths.min(initial=0) < 0 or lengths.sum() != width * height:
            return damaged
        return Mask({"size": [height, width], "counts": counts} if lengths[1::2].sum() else None)
    if not isinstance(counts, list) or not all(type(count) is int and count >= 0 for count in counts):
        return damaged
    if sum(counts) != width * height:
        return damaged
    if not sum(counts[1::2]):
        return Mask()
    compressed = _library().frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return Mask({"size": [height, width], "counts": compressed["counts"].decode("ascii")})


def _decompressed(counts: str) -> NDArray[np.int64] | None:
    """Return the run lengths of COCO's compressed RLE, None if it is damaged.

    pycocotools does not check its input, so damaged masks would be read beyond their end. The code of
    pycocotools/common/maskApi.c, rleToString: five bits per character, lowest first, bit 5 set if more
    follow; from the fourth number on, differences to the last but one.
    """
    try:
        characters = np.frombuffer(counts.encode("ascii"), np.uint8).astype(np.int64) - 48
    except UnicodeEncodeError:
        return None
    if not len(characters) or characters.min() < 0 or characters.max() > 63 or characters[-1] & 32:
        return None
    last = (characters & 32) == 0
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    if (ends - starts).max() > 8:
        return None
    shifts = 5 * (np.arange(len(characters)) - np.repeat(starts, ends - starts + 1))
    numbers = np.add.reduceat((characters & 31) << shifts, starts)
    negative = (characters[ends] & 16) != 0
    numbers = np.where(negative, numbers - (np.int64(1) << (shifts[ends] + 5)), numbers)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def mask_area(segmentation: Segmentation, width: int, height: int) -> float:
    """Return the number of pixels of a mask."""
    library = _library()
    return float(library.area(_merged(library, segmentation, width, height)))


def encoded(mask: NDArray[np.bool_]) -> tuple[int, str]:
    """Return the area in px² and the compressed run lengths of a mask (height, width)."""
    code = _library().encode(np.asfortranarray(mask, dtype=np.uint8))
    return int(mask.sum()), code["counts"].decode("ascii")


def mask_box(segmentation: Segmentation, width: int, height: int) -> Box:
    """Return left, top, right, bottom of a mask; of polygons the extent of their corners."""
    if isinstance(segmentation, list):
        across = [value for polygon in segmentation for value in polygon[0::2]]
        down = [value for polygon in segmentation for value in polygon[1::2]]
        return float(min(across)), float(min(down)), float(max(across)), float(max(down))
    left, top, wide, tall = map(float, _library().toBbox(segmentation))
    return left, top, left + wide, top + tall


def _merged(library: Any, segmentation: Segmentation, width: int, height: int) -> Any:
    if isinstance(segmentation, dict):
        return segmentation
    return library.merge(library.frPyObjects(_floats(segmentation), height, width))


def _floats(polygons: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[float(value) for value in polygon] for polygon in polygons]


def _library() -> Any:
    try:
        from pycocotools import mask
    except ImportError:
        raise MissingExtraError("pycocotools", "reading these masks", INSTALL) from None
    return mask
