"""Figures of detections: the curves that are read, what is drawn where, and that a figure costs no record."""

from __future__ import annotations

import json

import numpy as np
import pytest
from detections import encoded
from PIL import Image

from mmbench.data.annotated.types import AnnotatedImage, AnnotatedSplit, Instance
from mmbench.transfer.dense.common.figures import GAP, HEADING, MARGIN, class_colour, read_curves
from mmbench.transfer.dense.detection import figures
from mmbench.transfer.dense.detection.figures import PANEL, draw_figures, draw_predictions

CLASSES = ("cat", "a very long name of a class, with $signs$ and\nlines")


@pytest.fixture
def files(tmp_path):
    """One grey image of 100 px with two objects, detections and a log of losses."""
    Image.new("RGB", (100, 100), (128, 128, 128)).save(tmp_path / "a.png")
    square = [[60.0, 60.0, 90.0, 60.0, 90.0, 90.0, 60.0, 90.0]]
    objects = (
        Instance(0, (10, 30, 40, 50), 600.0),
        Instance(1, (60, 60, 90, 90), 900.0, segmentation=square),
        Instance(1, (5, 70, 35, 95), 750.0, difficult=True),
    )
    split = AnnotatedSplit(tmp_path, (AnnotatedImage("a.png", "a", 100, 100, objects),), ())
    mask = np.zeros((100, 100), dtype=bool)
    mask[10:30, 50:80] = True
    detections = [
        {
            "image_id": 1,
            "category_id": 1,
            "bbox": [50, 10, 30, 20],
            "score": 0.9,
            "segmentation": encoded(mask),
        },
        {"image_id": 1, "category_id": 2, "bbox": [10, 60, 30, 30], "score": 0.2},
        {"image_id": 1, "category_id": 2, "bbox": [60, 60, 30, 30], "score": 0.1},
    ]
    (tmp_path / "detections.json").write_text(json.dumps(detections))
    lines = [
        {"iteration": 19, "total_loss": 3.0, "loss_cls": 2.0, "lr": 0.1},
        {"iteration": 39, "total_loss": 9.0, "loss_cls": 9.0, "lr": 0.1},
        {"iteration": 39, "total_loss": 2.0, "loss_cls": 1.5, "lr": 0.01},
        {"other": 1.0},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"iteration": 59, "total_l'
    (tmp_path / "metrics.json").write_text(text)
    return split, tmp_path


def test_curves_hold_the_last_line_of_each_iteration(files) -> None:
    _, folder = files
    assert read_curves(folder / "metrics.json") == {
        "total_loss": [(20, 3.0), (40, 2.0)],
        "loss_cls": [(20, 2.0), (40, 1.5)],
        "lr": [(20, 0.1), (40, 0.01)],
    }


def test_both_figures_are_drawn(files, tmp_path) -> None:
    split, folder = files
    drawn, notes = draw_figures(
        split, CLASSES, folder / "metrics.json", folder / "detections.json", "a $title$", tmp_path
    )
    assert notes == []
    assert drawn == {name: tmp_path / name for name in ("losses.png", "predictions.png")}
    for path in drawn.values():
        with Image.open(path) as image:
            assert image.format == "PNG" and image.width > 600


def test_truth_is_left_and_detections_are_right(files, tmp_path) -> None:
    split, folder = files
    draw_predictions(split, CLASSES, folder / "detections.json", "title", tmp_path / "out.png")
    sheet = np.asarray(Image.open(tmp_path / "out.png"))
    top, left, scale = MARGIN + 2 * HEADING, MARGIN, PANEL / 100
    truth = sheet[top : top + PANEL, left : left + PANEL]
    detected = sheet[top : top + PANEL, left + PANEL + GAP : left + 2 * PANEL + GAP]

    def at(panel, x: float, y: float) -> tuple[int, ...]:
        return tuple(panel[round(y * scale), round(x * scale)].tolist())

    grey = (128, 128, 128)
    assert at(truth, 10.3, 45) == class_colour(0), "an outline"
    assert at(truth, 25, 40) == grey, "nothing over an object without mask"
    assert at(truth, 75, 75) != grey, "a mask"
    assert at(truth, 20, 80) == grey
    assert at(detected, 50.3, 20) == class_colour(0)
    assert at(detected, 65, 20) != grey, "the mask of a detection"
    assert at(detected, 10.1, 75) == class_colour(1), "as many detections as objects that count"
    assert at(detected, 60.1, 75) == grey, "no more below a score of 0.5"


def test_boxes_of_a_turned_image_lie_on_what_they_refer_to(tmp_path) -> None:
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[:, :20] = 255  # stored left; displayed at the top after a turn to the right
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    opened = {
        turned: figures._opened(
            AnnotatedSplit(tmp_path, (), ()),
            AnnotatedImage("turned.png", "t", *((40, 80) if turned else (80, 40)), (), apply_exif=turned),
        )
        for turned in (True, False)
    }
    assert opened[True].size == (40, 80) and opened[True].getpixel((20, 5)) == (255, 255, 255)
    assert opened[False].size == (80, 40) and opened[False].getpixel((5, 20)) == (255, 255, 255)


def test_a_figure_that_fails_is_a_note(files, tmp_path) -> None:
    split, folder = files
    (folder / "a.png").unlink()
    drawn, notes = draw_figures(
        split, CLASSES, folder / "metrics.json", folder / "detections.json", "title", tmp_path
    )
    assert set(drawn) == {"losses.png"}
    assert len(notes) == 1 and notes[0].startswith("predictions.png is not drawn: FileNotFoundError")


def test_names_do_not_cover_each_other() -> None:
    taken: list[tuple[float, float, float, float]] = []
    for _ in range(3):
        place = figures._name_place(50, (20, 40, 90, 90), (100, 200), taken)
        assert all(place[1] >= other[3] or other[1] >= place[3] for other in taken)
        assert place[0] >= 0 and place[2] <= 100 and place[1] >= 0 and place[3] <= 200
        taken.append(place)
