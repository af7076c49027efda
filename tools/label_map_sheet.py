"""Contact sheets of label maps: each laid over its image in the data set's colours, with a legend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mmbench.data.annotated.types import AnnotatedData, AnnotatedImage
from mmbench.data.images.decoding import open_rgb
from mmbench.data.label_maps.pixels import read_labels
from mmbench.data.label_maps.types import IGNORED, LabelMaps
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.file_names import printable
from mmbench.tools.contact_sheet import GAP, MARGIN, PAGE, TEXT, save_sheet, write_heading

SIDE = 288  # of the longer side of an image on the sheet, px
OPACITY = 0.55  # of colours within a region; its outline is opaque
STRIPE, DARK, LIGHT = 4, (70, 70, 70), (205, 205, 205)  # of ignored pixels: width in px and colours
SWATCH, LINE = 16, 24  # of the legend, px
LEAST_WIDTH = 420
MOST_NAMED = 60  # classes in the legend

Pixels = NDArray[Any]


def draw_label_maps(data: AnnotatedData, split: Split, out: Path, columns: int = 5, rows: int = 4) -> Path:
    """Draw the split's first images with their label maps over them, to `out` (PNG).

    What is drawn is what a run uses. Background is left as it is, ignored pixels are striped.

    Raises:
        UserError: the data set has no such split or no label maps, a file cannot be read, or `out` does not
            end in .png.
    """
    part, maps = data.split(split), data.label_maps
    if maps is None:
        raise UserError(f"data set '{data.name}' has no label maps")
    images = part.images[: columns * rows]
    if not images:
        raise UserError(f"the {split} split of '{data.name}' has no images that can be used")
    drawn, seen = list[Image.Image](), set[int]()
    for image in images:
        canvas, labels = _draw(part.root, image, maps)
        drawn.append(canvas)
        seen |= labels
    width, height = (max(getattr(image, side) for image in drawn) for side in ("width", "height"))
    used, lines = min(columns, len(drawn)), -(-len(drawn) // columns)
    across = max(2 * MARGIN + used * (width + GAP) - GAP, LEAST_WIDTH)
    top = MARGIN + 40
    legend = _legend(data.classes, maps, seen, across - 2 * MARGIN)
    down = top + lines * (height + GAP)
    sheet = Image.new("RGB", (across, down + legend.height + MARGIN), PAGE)
    facts = f"{len(part.images):,} images, {len(data.classes)} classes"
    write_heading(ImageDraw.Draw(sheet), f"{printable(data.name)}: {split}", facts)
    for position, image_drawn in enumerate(drawn):
        row, column = divmod(position, columns)
        sheet.paste(image_drawn, (MARGIN + column * (width + GAP), top + row * (height + GAP)))
    sheet.paste(legend, (MARGIN, down))
    save_sheet(sheet, out)
    return out


def _draw(root: Path, image: AnnotatedImage, maps: LabelMaps) -> tuple[Image.Image, set[int]]:
    """Return one image with its longer side SIDE under its labels, and which labels it has."""
    pixels = open_rgb(root / image.path, apply_exif=image.apply_exif)
    labels = read_labels(root / str(image.label_map), maps.coding)
    scale = SIDE / max(pixels.size)
    size = (max(1, round(pixels.width * scale)), max(1, round(pixels.height * scale)))
    canvas = np.asarray(pixels.resize(size, Image.Resampling.BICUBIC), np.float64)
    large = np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    colours = np.zeros((IGNORED + 1, 3))
    colours[: len(maps.palette)] = maps.palette
    opacity = np.where(_outline(large), 1.0, OPACITY)
    opacity[large == IGNORED] = 1.0
    if maps.background is not None:
        opacity[large == maps.background] = 0.0
    over = np.where((large == IGNORED)[..., None], _stripes(large.shape), colours[large])
    mixed = canvas * (1 - opacity[..., None]) + over * opacity[..., None]
    return Image.fromarray(mixed.round().astype(np.uint8)), set(np.unique(labels).tolist())


def _outline(labels: Pixels) -> Pixels:
    """Return where a pixel's right or lower neighbour has another label."""
    found = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        differs = np.diff(labels.astype(np.int16), axis=axis) != 0
        for shift in (0, 1):  # both sides
            place = [slice(None), slice(None)]
            place[axis] = slice(shift, shift + differs.shape[axis])
            found[tuple(place)] |= differs
    return found


def _stripes(shape: tuple[int, ...]) -> Pixels:
    """Return (H, W, 3) diagonal stripes."""
    down, across = np.indices(shape)
    return np.where(((down + across) // STRIPE % 2 == 0)[..., None], DARK, LIGHT)


def _legend(classes: tuple[str, ...], maps: LabelMaps, seen: set[int], width: int) -> Image.Image:
    """Return the names and colours of the labels that are seen, in lines of at most `width` px."""
    font = ImageFont.load_default(14)
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    labels = [label for label in range(len(classes)) if label in seen]
    entries: list[tuple[str, Image.Image | None]] = [
        (printable(classes[label]), _swatch(maps.palette[label], background=label == maps.background))
        for label in labels[:MOST_NAMED]
    ]
    if len(labels) > MOST_NAMED:
        entries.append((f"and {len(labels) - MOST_NAMED} more", None))
    if IGNORED in seen:
        entries.append(("ignored", Image.fromarray(_stripes((SWATCH, SWATCH)).astype(np.uint8))))
    placed, x, y = list[tuple[int, int, str, Image.Image | None]](), 0, 0
    for name, swatch in entries:
        length = SWATCH + 6 + round(ruler.textlength(name, font=font)) + 18
        if x and x + length > width:
            x, y = 0, y + LINE
        placed.append((x, y, name, swatch))
        x += length
    legend = Image.new("RGB", (width, y + LINE), PAGE)
    draw = ImageDraw.Draw(legend)
    for x, y, name, square in placed:
        if square is not None:
            legend.paste(square, (x, y + (LINE - SWATCH) // 2))
        draw.text((x + SWATCH + 6, y + LINE // 2), name, fill=TEXT, font=font, anchor="lm")
    return legend


def _swatch(colour: tuple[int, int, int], *, background: bool) -> Image.Image:
    """Return a square of a colour; that of the background is empty, as it is not drawn."""
    swatch = Image.new("RGB", (SWATCH, SWATCH), PAGE if background else colour)
    ImageDraw.Draw(swatch).rectangle((0, 0, SWATCH - 1, SWATCH - 1), outline=TEXT)
    return swatch
