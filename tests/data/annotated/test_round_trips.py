"""Properties of the readers of VOC and YOLO files, over boxes of any place and size."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from annotated_layouts import Drawings, Drawn, Thing, voc_xml, write_voc, write_yolo
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.data.annotated.layout import find_own
from mmbench.data.annotated.voc_xml import BrokenAnnotation, read_voc_xml

WIDTH, HEIGHT = 40, 30
CLASSES = ("a", "b")


@st.composite
def things(draw: st.DrawFn) -> Thing:
    """An object whose edges are whole pixels inside the image."""
    left = draw(st.integers(0, WIDTH - 2))
    top = draw(st.integers(0, HEIGHT - 2))
    right = draw(st.integers(left + 1, WIDTH))
    bottom = draw(st.integers(top + 1, HEIGHT))
    outline = (left, top, right, top, right, bottom, left, bottom)
    return Thing(draw(st.integers(0, 1)), (left, top, right, bottom), outline, draw(st.booleans()))


@settings(max_examples=25, deadline=None)
@given(st.lists(things(), min_size=1, max_size=6), st.booleans())
def test_boxes_are_read_as_they_were_written(drawn: list[Thing], polygons: bool) -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    splits = {"train": [Drawn("one", pixels, tuple(drawn))], "test": [Drawn("two", pixels + 9, tuple(drawn))]}
    with tempfile.TemporaryDirectory() as folder:
        roots = {"voc": Path(folder) / "voc", "yolo": Path(folder) / "yolo"}
        write_voc(roots["voc"], Drawings(CLASSES, splits))
        (roots["voc"] / "labels.txt").write_text("a\nb\n")
        write_yolo(roots["yolo"], Drawings(CLASSES, splits), polygons=polygons, decimals=9)
        for layout, root in roots.items():
            own = find_own(root)
            data = None if own is None else own.annotated
            assert data is not None and data.classes == CLASSES
            found = data.split("train").images[0].instances
            assert [thing.label for thing in found] == [thing.label for thing in drawn]
            for thing, truth in zip(found, drawn, strict=True):
                assert np.allclose(thing.box, truth.box, atol=1e-6)
                assert layout == "yolo" or thing.difficult == truth.difficult
                left, top, right, bottom = truth.box
                assert np.isclose(thing.area, (right - left) * (bottom - top), atol=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_file_is_read_or_refused_with_its_line(data: st.DataObject) -> None:
    thing = Thing(0, (2, 3, 20, 21), ())
    text = voc_xml(Drawn("one", np.zeros((HEIGHT, WIDTH, 3), np.uint8), (thing,)), CLASSES)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    damaged = text[:start] + data.draw(st.text(max_size=6)) + text[end:]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.xml"
        path.write_bytes(damaged.encode("utf-8", "replace"))
        try:
            found = read_voc_xml(path)
        except BrokenAnnotation as error:
            assert str(error).startswith("line ") and "\n" not in str(error)
        else:
            assert all(np.isfinite(thing.edges).all() and thing.name for thing in found.objects)
