"""The figure of a segmentation: images, their label maps, and what was predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mmbench.data.annotated.types import AnnotatedData, AnnotatedImage, AnnotatedSplit
from mmbench.data.images.decoding import open_rgb
from mmbench.data.label_maps.pixels import read_labels
from mmbench.data.label_maps.types import IGNORED
from mmbench.files import atomic_path
from mmbench.transfer.dense.common.figures import FAINT, GAP, HEADING, INK, MARGIN, PAGE, Colour, letters

SHOWN_IMAGES = 8
PER_ROW = 2  # images
PANEL = 240  # longer side of an image on the sheet, px
SWATCH, LINE = 14, 22  # of the legend, px
STRIPE, STRIPES = 4, ((250, 250, 250), (190, 196, 203))  # of ignored pixels, px
TITLE, TEXT = ImageFont.load_default(18), ImageFont.load_default(14)
HEADINGS = ("image", "annotated", "predicted")

Pixels = NDArray[np.uint8]


def shown_images(split: AnnotatedSplit) -> list[str]:
    """Return the names of the images whose predictions the figure shows; see `PixelOutcomes`."""
    return [image.path for image in split.images[:SHOWN_IMAGES]]


def draw_predictions(
    data: AnnotatedData, split: AnnotatedSplit, predicted: Mapping[str, Pixels], title: str, path: Path
) -> None:
    """Draw the first images of a split as a PNG, each beside its label map and its prediction.

    Labels have the colours of the data set's palette, ignored pixels are striped, and a legend names the
    classes that occur.

    Args:
        predicted: labels (H, W) of the images that `shown_images` names.
        title: heading of the figure.
    """
    assert data.label_maps is not None
    rows: list[tuple[Image.Image, ...]] = []
    present: set[int] = set()
    for image in split.images[:SHOWN_IMAGES]:
        truth, guessed = _truth(data, split, image), predicted[image.path]
        present |= {*np.unique(truth).tolist(), *np.unique(guessed).tolist()}
        pixels = open_rgb(split.root / image.path, apply_exif=image.apply_exif)
        scale = PANEL / max(pixels.size)
        size = (max(1, round(pixels.width * scale)), max(1, round(pixels.height * scale)))
        kind = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.LANCZOS
        panels = (_coloured(labels, size, data.label_maps.palette) for labels in (truth, guessed))
        rows.append((pixels.resize(size, kind), *panels))
    entries = [(data.classes[label], _swatch(label, data)) for label in sorted(present - {IGNORED})]
    if IGNORED in present:
        entries.append(("ignored", _swatch(IGNORED, data)))
    sheet = _sheet(rows, entries, title)
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def _truth(data: AnnotatedData, split: AnnotatedSplit, image: AnnotatedImage) -> Pixels:
    assert data.label_maps is not None and image.label_map is not None
    return read_labels(split.root / image.label_map, data.label_maps.coding)


def _coloured(labels: Pixels, size: tuple[int, int], palette: Sequence[Colour]) -> Image.Image:
    """Return labels (H, W) in the colours of a palette at (width, height); the nearest pixels are taken."""
    resized = np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    table = np.full((IGNORED + 1, 3), 255, dtype=np.uint8)
    table[: len(palette)] = palette
    pixels = table[resized]
    ignored = resized == IGNORED
    diagonals = np.indices(resized.shape).sum(axis=0)
    pixels[ignored] = np.array(STRIPES, dtype=np.uint8)[diagonals[ignored] // STRIPE % 2]
    return Image.fromarray(pixels)


def _swatch(label: int, data: AnnotatedData) -> Image.Image:
    """Return the sign of a label in the legend."""
    assert data.label_maps is not None
    swatch = _coloured(np.full((1, 1), label, np.uint8), (SWATCH, SWATCH), data.label_maps.palette)
    ImageDraw.Draw(swatch).rectangle((0, 0, SWATCH - 1, SWATCH - 1), outline=FAINT)
    return swatch


def _sheet(
    rows: Sequence[tuple[Image.Image, ...]], entries: Sequence[tuple[str, Image.Image]], title: str
) -> Image.Image:
    """Return the page: the title, the legend, and the panels of `PER_ROW` images beside each other."""
    column = len(HEADINGS) * PANEL + (len(HEADINGS) - 1) * GAP
    columns = min(PER_ROW, len(rows))
    width = 2 * MARGIN + columns * column + (columns - 1) * 3 * GAP
    places, legend = _legend(entries, width)
    groups = [rows[start : start + PER_ROW] for start in range(0, len(rows), PER_ROW)]
    heights = [max(panels[0].height for panels in group) + HEADING + GAP for group in groups]
    sheet = Image.new("RGB", (width, 2 * MARGIN + HEADING + legend + sum(heights)), PAGE)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), letters(title, 120), fill=INK, font=TITLE)
    top = MARGIN + HEADING
    for (left, below), (name, swatch) in zip(places, entries, strict=True):
        sheet.paste(swatch, (left, top + below))
        where = (left + SWATCH + 6, top + below + SWATCH / 2)
        draw.text(where, letters(name), fill=INK, font=TEXT, anchor="lm")
    top += legend
    for group, height in zip(groups, heights, strict=True):
        for position, panels in enumerate(group):
            for place, (heading, panel) in enumerate(zip(HEADINGS, panels, strict=True)):
                left = MARGIN + position * (column + 3 * GAP) + place * (PANEL + GAP)
                draw.text((left, top + HEADING - 8), heading, fill=FAINT, font=TEXT, anchor="ls")
                sheet.paste(panel, (left, top + HEADING))
        top += height
    return sheet


def _legend(entries: Sequence[tuple[str, Image.Image]], width: int) -> tuple[list[tuple[int, int]], int]:
    """Return where the entries of a legend begin, in lines of a page's width, and the legend's height."""
    left, top, places = MARGIN, 0, []
    for name, _ in entries:
        length = SWATCH + 6 + round(TEXT.getlength(letters(name))) + 3 * GAP
        if left > MARGIN and left + length > width - MARGIN:
            left, top = MARGIN, top + LINE
        places.append((left, top))
        left += length
    return places, top + LINE
