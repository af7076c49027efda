"""Contact sheet of nearest neighbours: which images a backbone finds similar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from mmbench.data.types import ImageSplit
from mmbench.files import atomic_path

CELL = 96  # side of an image on the sheet, px, at most; small images are enlarged by a whole number
FRAME, GAP, MARGIN = 4, 8, 16
CAPTION = 32  # px below an image: its class and its cosine
PAGE, TEXT, FAINT = (250, 250, 248), (38, 40, 46), (110, 112, 118)
# Bluish green and dark red, which differ in brightness too; tick and cross say the same without colour.
RIGHT, WRONG = (0, 158, 115), (178, 24, 43)
MARK = 9  # half the side of the corner that holds the tick or the cross, px

Colour = tuple[int, int, int]


def share_a_class(first: Tensor, second: Tensor) -> bool:
    """Return whether two labels agree: the same class, or of several (classes,) one in both."""
    if first.ndim == 0:
        return bool(first == second)
    return bool(((first > 0) & (second > 0)).any())


def words_of(label: Tensor, classes: Sequence[str]) -> str:
    """Return the class's name, or of several labels (classes,) the names of those that are there."""
    if label.ndim == 0:
        return classes[int(label)]
    there = [classes[index] for index in (label > 0).nonzero().flatten().tolist()]
    return ", ".join(there) or "(none)"


def draw_neighbours(
    queries: ImageSplit,
    bank: ImageSplit,
    index: Tensor,
    cosine: Tensor,
    classes: Sequence[str],
    title: str,
    path: Path,
) -> None:
    """Draw a PNG with a row per query: the query, then its neighbours, framed by whether the class agrees.

    Args:
        queries: Q images with their labels.
        bank: the images that neighbours come from.
        index: int64, (Q, k), into the bank, nearest first.
        cosine: (Q, k).
        classes: their names.
        title: which features, such as "moco-seed0 on patterns: test in train".
        path: of the PNG.
    """
    rows, columns = index.shape
    side = _side(queries.images)
    step, row_height = side + 2 * FRAME + GAP, side + 2 * FRAME + CAPTION + GAP
    large, small = ImageFont.load_default(20), ImageFont.load_default(13)
    right = [
        [share_a_class(queries.labels[row], bank.labels[item]) for item in index[row].tolist()]
        for row in range(rows)
    ]
    facts = (
        f"left the query, then its {columns} nearest by cosine; "
        f"{sum(map(sum, right))} of {rows * columns} are of its class"
    )
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    first = MARGIN + step + GAP  # x of the first neighbour
    width = max(first + columns * step - GAP, MARGIN + round(ruler.textlength(facts, font=small)) + 180)
    title = _fitting(ruler, title, large, width - MARGIN)
    top = MARGIN + 62
    sheet = Image.new("RGB", (width + MARGIN, top + rows * row_height - GAP + MARGIN), PAGE)
    draw = ImageDraw.Draw(sheet)
    draw.text((MARGIN, MARGIN), title, fill=TEXT, font=large)
    draw.text((MARGIN, MARGIN + 30), facts, fill=FAINT, font=small)
    _key(draw, MARGIN + round(draw.textlength(facts, font=small)) + 20, MARGIN + 38, small)
    for row in range(rows):
        y = top + row * row_height
        _paste(sheet, queries.images[row], MARGIN, y, side)
        _caption(draw, MARGIN, y, side, words_of(queries.labels[row], classes), "query", TEXT)
        draw.line((MARGIN + step, y, MARGIN + step, y + side + 2 * FRAME), fill=(205, 206, 210))
        for column, item in enumerate(index[row].tolist()):
            x, good = first + column * step, right[row][column]
            colour = RIGHT if good else WRONG
            draw.rectangle((x, y, x + side + 2 * FRAME - 1, y + side + 2 * FRAME - 1), fill=colour)
            _paste(sheet, bank.images[item], x, y, side)
            _mark(draw, x + side + 2 * FRAME - MARK - 1, y + MARK, good)
            words = words_of(bank.labels[item], classes)
            _caption(draw, x, y, side, words, f"{float(cosine[row, column]):.2f}", TEXT if good else WRONG)
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def _side(images: Tensor) -> int:
    """Return the side in px at which images are shown: a multiple of their own where they are small."""
    stored = max(images.shape[-2:])
    return CELL if stored > CELL else stored * (CELL // stored)


def _paste(sheet: Image.Image, image: Tensor, x: int, y: int, side: int) -> None:
    """Paste an image into its frame at (x, y), centred where it is not square."""
    pixels = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    scale = side / max(pixels.size)
    size = (max(1, round(pixels.width * scale)), max(1, round(pixels.height * scale)))
    kind = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    cell = Image.new("RGB", (side, side), PAGE)
    cell.paste(pixels.resize(size, kind), ((side - size[0]) // 2, (side - size[1]) // 2))
    sheet.paste(cell, (x + FRAME, y + FRAME))


def _mark(draw: ImageDraw.ImageDraw, x: int, y: int, good: bool) -> None:
    """Draw a tick or a cross in white on a square around (x, y)."""
    draw.rectangle((x - MARK, y - MARK, x + MARK, y + MARK), fill=RIGHT if good else WRONG)
    if good:
        draw.line((x - 5, y, x - 1, y + 4, x + 5, y - 4), fill="white", width=2)
    else:
        draw.line((x - 4, y - 4, x + 4, y + 4), fill="white", width=2)
        draw.line((x - 4, y + 4, x + 4, y - 4), fill="white", width=2)


def _caption(
    draw: ImageDraw.ImageDraw, x: int, y: int, side: int, words: str, number: str, colour: Colour
) -> None:
    """Write two lines below the image at (x, y)."""
    font = ImageFont.load_default(13)
    below = y + side + 2 * FRAME
    draw.text((x, below + 1), _fitting(draw, words, font, side + 2 * FRAME), fill=colour, font=font)
    draw.text((x, below + 16), number, fill=FAINT, font=font)


def _key(
    draw: ImageDraw.ImageDraw, x: int, y: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> None:
    """Draw the legend of the frames, starting at (x, y)."""
    for good, words in ((True, "its class"), (False, "another")):
        _mark(draw, x + MARK, y, good)
        draw.text((x + 2 * MARK + 6, y), words, fill=TEXT, font=font, anchor="lm")
        x += 2 * MARK + 6 + round(draw.textlength(words, font=font)) + 14


def _fitting(
    draw: ImageDraw.ImageDraw, words: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> str:
    """Return the text, cut to at most `width` px."""
    if draw.textlength(words, font=font) <= width:
        return words
    kept = len(words)
    while kept and draw.textlength(words[:kept].rstrip() + "…", font=font) > width:
        kept -= 1
    return words[:kept].rstrip() + "…"
