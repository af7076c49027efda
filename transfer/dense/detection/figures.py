"""Figures beside the record of a detection: the curves of its losses, and truth beside detections."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from mmbench.data.annotated.types import AnnotatedImage, AnnotatedSplit, Segmentation
from mmbench.files import atomic_path
from mmbench.transfer.dense.common.figures import (
    FAINT,
    GAP,
    HEADING,
    INK,
    MARGIN,
    PAGE,
    Colour,
    class_colour,
    draw_each,
    draw_losses,
    letters,
)

SHOWN_IMAGES = 8
PAIRS_PER_ROW = 2
PANEL = 340  # longer side of an image on the sheet, px
SURE = 0.5  # detections from this score on are all shown
MOST = 30  # detections per image
OUTSIDE = (150, 150, 150)
MASK_SHARE = 0.4
NAMES, NAME_HEIGHT = ImageFont.load_default(13), 17

# (label, box, score or None, mask or None, whether it counts)
Drawn = tuple[int, Sequence[float], float | None, Segmentation | None, bool]


def draw_figures(
    split: AnnotatedSplit, classes: Sequence[str], metrics: Path, detections: Path, title: str, folder: Path
) -> tuple[dict[str, Path], list[str]]:
    """Draw losses.png and predictions.png into a folder, in the first of several processes.

    A figure that cannot be drawn costs no record: it is omitted, and a note says why.

    Args:
        split: the evaluated split.
        classes: names in the order of labels.
        metrics: JSON lines as Detectron2's JSONWriter writes them.
        detections: the evaluator's file of detections.
        title: heading of both figures.

    Returns:
        The figures as `Measurement.files` takes them, and notes.
    """
    return draw_each(
        {
            "losses.png": lambda path: draw_losses(metrics, title, path),
            "predictions.png": lambda path: draw_predictions(split, classes, detections, title, path),
        },
        folder,
    )


def draw_predictions(
    split: AnnotatedSplit, classes: Sequence[str], detections: Path, title: str, path: Path
) -> None:
    """Draw the first images of a split, each with its objects and beside it with its detections, as a PNG.

    All detections with a score of at least 0.5 are shown; if these are fewer than the objects, the best of
    the others too, with thin outlines and without masks. Objects that do not count are grey.
    """
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for item in json.loads(detections.read_text(encoding="utf-8")):
        if item["image_id"] <= SHOWN_IMAGES:
            found[item["image_id"]].append(item)
    pairs = []
    for number, image in enumerate(split.images[:SHOWN_IMAGES], start=1):
        pixels = _opened(split, image)
        objects: list[Drawn] = [
            (one.label, one.box, None, one.segmentation, not (one.crowd or one.difficult))
            for one in image.instances
        ]
        shown = _shown(found[number], sum(counts for *_, counts in objects))
        pairs.append(
            (_panel(pixels, objects, classes), _panel(pixels, shown, classes), len(found[number]), len(shown))
        )
    _sheet(pairs, title, path)


def _shown(found: Sequence[Mapping[str, Any]], objects: int) -> list[Drawn]:
    """Return those detections of an image that are drawn, the best last so that it lies on top."""
    ranked = sorted(found, key=lambda item: -item["score"])[:MOST]
    kept = [item for rank, item in enumerate(ranked) if item["score"] >= SURE or rank < max(1, objects)]
    drawn: list[Drawn] = []
    for item in reversed(kept):
        left, top, width, height = item["bbox"]
        box = (left, top, left + width, top + height)
        mask = item.get("segmentation")
        drawn.append((item["category_id"] - 1, box, item["score"], mask, item["score"] >= SURE))
    return drawn


def _opened(split: AnnotatedSplit, image: AnnotatedImage) -> Image.Image:
    """Return an image in the frame that its boxes refer to."""
    with Image.open(split.root / image.path) as opened:
        turned = ImageOps.exif_transpose(opened) if image.apply_exif else opened
        return turned.convert("RGB")


def _panel(pixels: Image.Image, drawn: Sequence[Drawn], classes: Sequence[str]) -> Image.Image:
    """Return an image at the size of the sheet with masks, boxes and names over it."""
    scale = PANEL / max(pixels.size)
    size = (max(1, round(pixels.width * scale)), max(1, round(pixels.height * scale)))
    kind = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
    panel = pixels.resize(size, kind)
    for label, _, _, segmentation, counts in drawn:
        if segmentation is not None and counts:
            mask = _mask(segmentation, pixels.size).resize(size, Image.Resampling.BILINEAR)
            share = mask.point(lambda value: round(MASK_SHARE * value))
            panel.paste(Image.new("RGB", size, class_colour(label)), (0, 0), share)
    draw = ImageDraw.Draw(panel)
    for label, box, score, _, counts in drawn:
        edges = [min(max(0.0, edge * scale), limit - 1) for edge, limit in zip(box, size * 2, strict=True)]
        draw.rectangle(edges, outline=_outline(label, score, counts), width=3 if counts else 1)
    taken: list[tuple[float, float, float, float]] = []
    for label, box, score, _, counts in reversed(drawn):  # after all boxes, which would cross the names
        name = letters(classes[label]) + (f" {100 * score:.0f}" if score is not None else "")
        name += " (ignored)" if score is None and not counts else ""
        place = _name_place(
            draw.textlength(name, font=NAMES) + 8, [edge * scale for edge in box], size, taken
        )
        taken.append(place)
        colour = _outline(label, score, counts)
        draw.rectangle(place, fill=colour if counts else PAGE, outline=colour)
        ink = _readable_on(colour) if counts else INK
        draw.text((place[0] + 4, place[1] + 8), name, fill=ink, font=NAMES, anchor="lm")
    return panel


def _outline(label: int, score: float | None, counts: bool) -> Colour:
    """Return the class's colour, and grey for objects that do not count."""
    return OUTSIDE if score is None and not counts else class_colour(label)


def _name_place(
    length: float,
    box: Sequence[float],
    size: tuple[int, int],
    taken: Sequence[tuple[float, float, float, float]],
) -> tuple[float, float, float, float]:
    """Return where the name of a box is written: above it, below it or in it, wherever no name is yet."""
    left = min(max(0.0, box[0]), max(0.0, size[0] - length))
    tops = [min(max(0.0, top), size[1] - NAME_HEIGHT) for top in (box[1] - NAME_HEIGHT, box[3], box[1])]
    places = [(left, top, left + length, top + NAME_HEIGHT) for top in tops]
    free = (
        place
        for place in places
        if not any(
            place[0] < other[2] and other[0] < place[2] and place[1] < other[3] and other[1] < place[3]
            for other in taken
        )
    )
    return next(free, places[0])


def _sheet(pairs: Sequence[tuple[Image.Image, Image.Image, int, int]], title: str, path: Path) -> None:
    """Arrange pairs of panels in rows, with headings, and write the PNG."""
    column = 2 * PANEL + GAP
    columns = min(PAIRS_PER_ROW, len(pairs))
    rows = [pairs[start : start + PAIRS_PER_ROW] for start in range(0, len(pairs), PAIRS_PER_ROW)]
    heights = [max(truth.height for truth, *_ in row) + HEADING + GAP for row in rows]
    size = (2 * MARGIN + columns * column + (columns - 1) * 3 * GAP, 2 * MARGIN + HEADING + sum(heights))
    sheet = Image.new("RGB", size, PAGE)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), letters(title, 120), fill=INK, font=ImageFont.load_default(18))
    font = ImageFont.load_default(14)
    top = MARGIN + HEADING
    for row, height in zip(rows, heights, strict=True):
        for position, (truth, detected, found, shown) in enumerate(row):
            left = MARGIN + position * (column + 3 * GAP)
            draw.text((left, top + HEADING - 8), "annotated", fill=FAINT, font=font, anchor="ls")
            heading = f"detected, {shown} of {found} shown, score in percent" if found else "nothing detected"
            draw.text((left + PANEL + GAP, top + HEADING - 8), heading, fill=FAINT, font=font, anchor="ls")
            sheet.paste(truth, (left, top + HEADING))
            sheet.paste(detected, (left + PANEL + GAP, top + HEADING))
        top += height
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def _readable_on(colour: Colour) -> Colour:
    """Return black or white, whichever stands out more."""
    red, green, blue = colour
    return PAGE if 0.299 * red + 0.587 * green + 0.114 * blue < 150 else INK


def _mask(segmentation: Segmentation, size: tuple[int, int]) -> Image.Image:
    """Return polygons or RLE as a mask, 0 or 255, of (width, height)."""
    if isinstance(segmentation, dict):
        from pycocotools import mask as mask_util

        encoded = segmentation
        if isinstance(encoded["counts"], list):
            encoded = mask_util.frPyObjects(encoded, *encoded["size"])
        return Image.fromarray(255 * np.asarray(mask_util.decode(encoded)))
    mask = Image.new("L", size)
    draw = ImageDraw.Draw(mask)
    for polygon in segmentation:
        draw.polygon(polygon, fill=255)
    return mask
