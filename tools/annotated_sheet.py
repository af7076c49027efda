"""Contact sheets of annotated images: boxes, masks, keypoints and class names on one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmbench.data.annotated.types import AnnotatedData, AnnotatedImage, Instance
from mmbench.data.images.decoding import open_rgb
from mmbench.data.types import Split
from mmbench.errors import MissingExtraError, UserError
from mmbench.tools.contact_sheet import (
    GAP,
    MARGIN,
    PAGE,
    TEXT,
    Colour,
    class_colours,
    save_sheet,
    write_heading,
)

SIDE = 288  # of the longer side of an image on the sheet, px
MASK_OPACITY = 0.38
POINT = 3  # radius of a keypoint, px
MARKS = {"crowd": "crowd", "difficult": "difficult"}


def draw_annotated(data: AnnotatedData, split: Split, out: Path, columns: int = 5, rows: int = 4) -> Path:
    """Draw the split's first images with masks, boxes, keypoints and class names over them, to `out` (PNG).

    What is drawn is what a run uses: cleaned boxes, and the frame that they refer to.

    Raises:
        UserError: the data set has no such split, an image cannot be read, or `out` does not end in .png.
    """
    part = data.split(split)
    images = part.images[: columns * rows]
    if not images:
        raise UserError(f"the {split} split of '{data.name}' has no images that can be used")
    colours = class_colours(len(data.classes))
    drawn = [_draw(part.root, image, data.classes, colours) for image in images]
    width, height = (max(getattr(image, side) for image in drawn) for side in ("width", "height"))
    used = min(columns, len(drawn))
    top, lines = MARGIN + 40, -(-len(drawn) // columns)
    size = (2 * MARGIN + used * (width + GAP) - GAP, top + lines * (height + GAP) - GAP + MARGIN)
    sheet = Image.new("RGB", (max(size[0], 420), size[1]), PAGE)
    objects = sum(len(image.instances) for image in part.images)
    write_heading(
        ImageDraw.Draw(sheet), f"{data.name}: {split}", f"{len(part.images):,} images, {objects:,} objects"
    )
    for position, image in enumerate(drawn):
        row, column = divmod(position, columns)
        sheet.paste(image, (MARGIN + column * (width + GAP), top + row * (height + GAP)))
    save_sheet(sheet, out)
    return out


def _draw(
    root: Path, image: AnnotatedImage, classes: Sequence[str], colours: Sequence[Colour]
) -> Image.Image:
    """Return one image with its longer side SIDE, and its objects."""
    pixels = open_rgb(root / image.path, apply_exif=image.apply_exif)
    scale = SIDE / max(pixels.size)
    size = (max(1, round(pixels.width * scale)), max(1, round(pixels.height * scale)))
    canvas = pixels.resize(size, Image.Resampling.BICUBIC)
    for thing in image.instances:
        canvas = _with_mask(canvas, thing, scale, colours[thing.label])
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for thing in image.instances:
        colour = colours[thing.label]
        left, top, right, bottom = (value * scale for value in thing.box)
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=2)
        marks = [mark for field, mark in MARKS.items() if getattr(thing, field)]
        words = classes[thing.label] + (f" ({', '.join(marks)})" if marks else "")
        _label(draw, (left, top), canvas.width, words, colour, font)
        _points(draw, thing, scale, colour)
    return canvas


def _label(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    width: int,
    words: str,
    colour: Colour,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    length = draw.textlength(words, font=font)
    left, top = max(0.0, min(at[0], width - length - 6)), at[1]  # names at the right edge stay whole
    draw.rectangle((left, top, left + length + 6, top + 16), fill=colour)
    ink = (255, 255, 255) if sum(colour) < 420 else TEXT
    draw.text((left + 3, top + 8), words, fill=ink, font=font, anchor="lm")


def _points(draw: ImageDraw.ImageDraw, thing: Instance, scale: float, colour: Colour) -> None:
    flat = thing.keypoints or ()
    for x, y, visibility in zip(flat[0::3], flat[1::3], flat[2::3], strict=True):
        if visibility:
            x, y = x * scale, y * scale
            ink = colour if visibility == 2 else (255, 255, 255)  # white: labelled but hidden
            draw.ellipse((x - POINT, y - POINT, x + POINT, y + POINT), fill=ink, outline=TEXT)


def _with_mask(canvas: Image.Image, thing: Instance, scale: float, colour: Colour) -> Image.Image:
    """Return the image with an object's mask laid over it."""
    if thing.segmentation is None:
        return canvas
    mask = Image.new("L", canvas.size)
    if isinstance(thing.segmentation, dict):
        mask = Image.fromarray(_decoded(thing.segmentation)).resize(canvas.size)
    else:
        ink = ImageDraw.Draw(mask)
        for polygon in thing.segmentation:
            # Pillow counts pixel centres, annotations count corners.
            points = [
                (x * scale - 0.5, y * scale - 0.5) for x, y in zip(polygon[0::2], polygon[1::2], strict=True)
            ]
            ink.polygon(points, fill=255)
    opacity = mask.point(lambda value: round(value * MASK_OPACITY))
    return Image.composite(Image.new("RGB", canvas.size, colour), canvas, opacity)


def _decoded(segmentation: dict[str, object]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a mask of run lengths as uint8 (height, width): 0 or 255."""
    try:
        from pycocotools import mask as library
    except ImportError:
        raise MissingExtraError(
            "pycocotools", "drawing masks of run lengths", "pip install 'mmbench[detection]'"
        ) from None
    decoded: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = library.decode(segmentation)
    return decoded * np.uint8(255)
