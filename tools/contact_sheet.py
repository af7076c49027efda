"""Contact sheets: example images of a data set on one PNG."""

from __future__ import annotations

import colorsys
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from mmbench.data import Dataset, Scenes
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.files import atomic_path

CELL = 88  # side of an image on the sheet, px
GAP, MARGIN = 6, 14
SCENE_SCALE = 3
PAGE, TEXT, FAINT = (250, 250, 248), (38, 40, 46), (120, 122, 128)
MASK_SHARE = 0.38

Colour = tuple[int, int, int]


def class_colours(count: int) -> list[Colour]:
    """Return `count` colours that neighbours on the list do not share (golden-angle hues)."""
    colours: list[Colour] = []
    for index in range(count):
        shade = (1.0, 0.78)[index % 2]
        red, green, blue = colorsys.hsv_to_rgb(index * 0.381966 % 1.0, 0.72, shade)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colours


def save_sheet(sheet: Image.Image, out: Path) -> None:
    """Write a sheet.

    Raises:
        UserError: `out` does not end in .png.
    """
    if out.suffix.lower() != ".png":
        raise UserError(f"{out} does not end in .png; choose a name with that suffix for --out")
    with atomic_path(out) as temporary:
        sheet.save(temporary, format="PNG")


def write_heading(draw: ImageDraw.ImageDraw, words: str, facts: str) -> int:
    """Write the title line; return the y below it."""
    large, small = ImageFont.load_default(20), ImageFont.load_default(14)
    draw.text((MARGIN, MARGIN), words, fill=TEXT, font=large)
    draw.text((MARGIN + draw.textlength(words, font=large) + 14, MARGIN + 6), facts, fill=FAINT, font=small)
    return MARGIN + 40


def draw_images(dataset: Dataset, split: Split, out: Path, columns: int = 12) -> Path:
    """Draw a row of the split's first images for every class, with the class's name, to `out` (PNG).

    Raises:
        UserError: the data set has no such split, or `out` does not end in .png.
    """
    part = dataset.split(split)
    font = ImageFont.load_default(17)
    ruler = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    names = round(max(ruler.textlength(name, font=font) for name in dataset.classes)) + 2 * MARGIN
    width = names + columns * (CELL + GAP) + MARGIN
    top = MARGIN + 40
    sheet = Image.new("RGB", (width, top + len(dataset.classes) * (CELL + GAP) + MARGIN), PAGE)
    draw = ImageDraw.Draw(sheet)
    side = part.images.shape[-1]
    write_heading(
        draw, f"{dataset.name}: {split}", f"{len(part):,} images of {side} px, {len(dataset.classes)} classes"
    )
    for index, name in enumerate(dataset.classes):
        y = top + index * (CELL + GAP)
        draw.text((names - MARGIN, y + CELL // 2), name, fill=TEXT, font=font, anchor="rm")
        chosen = torch.nonzero(part.labels == index).flatten()[:columns]
        for column, number in enumerate(chosen.tolist()):
            pixels = part.images[number].permute(1, 2, 0).numpy()
            kind = Image.Resampling.NEAREST if side <= CELL else Image.Resampling.LANCZOS
            sheet.paste(
                Image.fromarray(pixels).resize((CELL, CELL), kind), (names + column * (CELL + GAP), y)
            )
    save_sheet(sheet, out)
    return out


def draw_scenes(scenes: Scenes, split: Split, out: Path, columns: int = 5, rows: int = 4) -> Path:
    """Draw the split's first scenes with masks, boxes and class names laid over them, to `out` (PNG).

    Boxes come from the COCO file and masks from the label maps, so that disagreements are visible.

    Raises:
        UserError: annotations or images are missing, or `out` does not end in .png.
    """
    content = read_coco(scenes, split)
    boxes: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in content["annotations"]:
        boxes[annotation["image_id"]].append(annotation)
    images = content["images"][: columns * rows]
    if not images:
        raise UserError(f"{scenes.coco_json(split)} names no images; prepare the data set again")
    width = max(image["width"] for image in images) * SCENE_SCALE
    height = max(image["height"] for image in images) * SCENE_SCALE
    used = -(-len(images) // columns)
    top = MARGIN + 40
    size = (2 * MARGIN + columns * (width + GAP) - GAP, top + used * (height + GAP) - GAP + MARGIN)
    sheet = Image.new("RGB", size, PAGE)
    write_heading(
        ImageDraw.Draw(sheet),
        f"scenes: {split}",
        f"{len(content['images']):,} images, {len(content['annotations']):,} objects",
    )
    colours = class_colours(len(scenes.classes))
    for position, image in enumerate(images):
        row, column = divmod(position, columns)
        drawn = _draw_scene(scenes, split, image["file_name"], boxes[image["id"]], colours)
        sheet.paste(drawn, (MARGIN + column * (width + GAP), top + row * (height + GAP)))
    save_sheet(sheet, out)
    return out


def read_coco(scenes: Scenes, split: Split) -> dict[str, Any]:
    """Return the content of a split's COCO file.

    Raises:
        UserError: it is missing or unreadable.
    """
    path = scenes.coco_json(split)
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if {"images", "annotations", "categories"} - content.keys():
            raise ValueError("images, annotations or categories are missing")
    except FileNotFoundError:
        raise UserError(f"no annotations at {path}; prepare the data set again") from None
    except (ValueError, AttributeError) as error:
        raise UserError(f"{path} is not a COCO annotation file: {error}") from None
    return content


def _draw_scene(
    scenes: Scenes, split: Split, name: str, annotations: list[dict[str, Any]], colours: list[Colour]
) -> Image.Image:
    """Return one scene at SCENE_SCALE with its masks, boxes and names."""
    try:
        with Image.open(scenes.images(split) / name) as opened:
            image = opened.convert("RGB")
        with Image.open((scenes.segmentation(split) / name).with_suffix(".png")) as opened:
            labels = np.asarray(opened)
    except OSError as error:
        raise UserError(
            f"scene {name} of {split} cannot be read ({error}); prepare the data set again"
        ) from None
    table = np.array([(0, 0, 0), *colours, *[(0, 0, 0)] * (255 - len(colours))], dtype=np.float64)
    share = np.where((labels > 0) & (labels <= len(colours)), MASK_SHARE, 0.0)[..., None]
    mixed = np.asarray(image) * (1 - share) + table[labels] * share
    size = (image.width * SCENE_SCALE, image.height * SCENE_SCALE)
    large = Image.fromarray(mixed.round().astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(large)
    font = ImageFont.load_default(13)
    for annotation in annotations:
        colour = colours[annotation["category_id"] - 1]
        x, y, width, height = (value * SCENE_SCALE for value in annotation["bbox"])
        draw.rectangle((x, y, x + width, y + height), outline=colour, width=2)
        words = scenes.classes[annotation["category_id"] - 1]
        length = draw.textlength(words, font=font)
        draw.rectangle((x, y, x + length + 6, y + 16), fill=colour)
        draw.text(
            (x + 3, y + 8), words, fill=(255, 255, 255) if sum(colour) < 420 else TEXT, font=font, anchor="lm"
        )
    return large
