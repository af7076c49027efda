"""The figure of a segmentation: which colour is where, ignored pixels, several sizes, and the legend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.data.annotated.types import AnnotatedData, AnnotatedImage, AnnotatedSplit
from mmbench.data.label_maps.types import Coding, LabelMaps
from mmbench.transfer.dense.common import label_map_figure
from mmbench.transfer.dense.common.figures import GAP, HEADING, MARGIN
from mmbench.transfer.dense.common.label_map_figure import (
    LINE,
    PANEL,
    STRIPES,
    draw_predictions,
    shown_images,
)

CLASSES = ("background", "a very long name of a class, with $signs$ and\nlines", "dog", "in no image")
PALETTE = ((0, 0, 0), (128, 0, 0), (0, 128, 0), (1, 2, 3))


def data_of(root: Path, sizes: list[tuple[int, int]]) -> tuple[AnnotatedData, AnnotatedSplit]:
    """Grey images; the left half has label 1, the right half 0, and the top quarter is ignored."""
    images = []
    for number, (width, height) in enumerate(sizes):
        labels = np.zeros((height, width), np.uint8)
        labels[:, : width // 2] = 1
        labels[: height // 4] = 255
        Image.new("RGB", (width, height), (90, 100, 110)).save(root / f"{number}.jpg")
        Image.fromarray(labels).save(root / f"{number}.png")
        images.append(AnnotatedImage(f"{number}.jpg", str(number), width, height, label_map=f"{number}.png"))
    split = AnnotatedSplit(root, tuple(images), ())
    coding = Coding("values", {0: 0, 1: 1, 2: 2, 3: 3, 255: 255})
    maps = LabelMaps(coding, PALETTE, background=0)
    return AnnotatedData("made", root, "plain", CLASSES, {"test": lambda: split}, label_maps=maps), split


def test_image_truth_and_prediction_stand_beside_each_other(tmp_path: Path) -> None:
    data, split = data_of(tmp_path, [(100, 100)])
    guessed = np.full((100, 100), 2, np.uint8)
    draw_predictions(data, split, {"0.jpg": guessed}, "a $title$", tmp_path / "out.png")
    sheet = np.asarray(Image.open(tmp_path / "out.png"))
    top = MARGIN + 2 * HEADING + LINE

    def at(panel: int, x: float, y: float) -> tuple[int, ...]:
        left = MARGIN + panel * (PANEL + GAP)
        return tuple(sheet[top + round(y * PANEL), left + round(x * PANEL)].tolist())

    assert at(0, 0.5, 0.5) == pytest.approx((90, 100, 110), abs=2)
    assert at(1, 0.25, 0.6) == PALETTE[1] and at(1, 0.75, 0.6) == PALETTE[0]
    assert {at(1, x, 0.1) for x in np.linspace(0.1, 0.9, 40)} == set(STRIPES)
    assert at(2, 0.25, 0.6) == at(2, 0.75, 0.1) == PALETTE[2]
    legend = {tuple(colour) for colour in sheet[MARGIN + HEADING : MARGIN + HEADING + LINE].reshape(-1, 3)}
    assert set(PALETTE[:3]) <= legend and PALETTE[3] not in legend, "classes that occur"


def test_images_of_several_sizes_share_a_sheet(tmp_path: Path) -> None:
    sizes = [(4000, 1500), (30, 90), (1, 1), (64, 64), (64, 48), (64, 64), (64, 64), (64, 64), (64, 64)]
    data, split = data_of(tmp_path, sizes)
    names = shown_images(split)
    assert names == [f"{number}.jpg" for number in range(8)]
    guessed = {name: np.zeros((h, w), np.uint8) for name, (w, h) in zip(names, sizes, strict=False)}
    draw_predictions(data, split, guessed, "title", tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as image:
        assert image.format == "PNG" and image.width == 2 * MARGIN + 6 * PANEL + 7 * GAP
        assert image.height < 2 * MARGIN + HEADING + 2 * LINE + 4 * (PANEL + HEADING + GAP) + 1


def test_a_long_legend_is_broken_into_lines() -> None:
    entries = [(f"class number {number}", Image.new("RGB", (1, 1))) for number in range(40)]
    places, height = label_map_figure._legend(entries, 600)
    assert len(places) == 40 and height == len({top for _, top in places}) * LINE > LINE
    assert all(MARGIN <= left < 600 - MARGIN for left, _ in places)
    assert len(set(places)) == 40
