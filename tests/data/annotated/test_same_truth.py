"""One data set in COCO, VOC and YOLO layout: the same ground truth through all three readers."""

from __future__ import annotations

from pathlib import Path

import pytest
from annotated_layouts import Drawings, patterns, write_coco, write_voc, write_yolo

from mmbench.data import load_dataset
from mmbench.data.annotated.types import AnnotatedData, AnnotatedImage

COUNTS = {"train": 12, "val": 4, "test": 6}
# layout -> how far an edge may be off, in px: VOC rounds to whole pixels, YOLO to six decimals of 96 px.
TOLERANCE = {"coco": 1e-9, "exported": 1e-9, "beside": 1e-9, "voc": 0.5, "voc decimals": 1e-6, "yolo": 2e-4}


@pytest.fixture(scope="module")
def drawings() -> Drawings:
    return patterns(COUNTS)


def write(root: Path, layout: str, drawings: Drawings) -> None:
    if layout == "voc":
        write_voc(root, drawings)
    elif layout == "voc decimals":
        write_voc(root, drawings, decimals=4)
    elif layout in ("yolo", "outlines"):
        write_yolo(root, drawings, polygons=layout == "outlines")
    else:
        write_coco(root, drawings, "annotations" if layout == "coco" else layout)  # type: ignore[arg-type]
    if layout.startswith("voc"):
        (root / "labels.txt").write_text("\n".join(drawings.classes) + "\n")


def loaded(root: Path) -> AnnotatedData:
    load_dataset.cache_clear()
    dataset = load_dataset(str(root))
    assert dataset.annotated is not None and not dataset.splits
    return dataset.annotated


def stem(image: AnnotatedImage) -> str:
    return Path(image.path).stem


@pytest.mark.parametrize("layout", TOLERANCE)
def test_every_layout_gives_the_boxes_that_were_drawn(
    tmp_path: Path, drawings: Drawings, layout: str
) -> None:
    write(tmp_path / "set", layout, drawings)
    data = loaded(tmp_path / "set")
    assert data.classes == drawings.classes
    for split, drawn in drawings.splits.items():
        found = data.split(split)  # type: ignore[arg-type]
        assert [finding.action for finding in found.findings if finding.action != "kept"] == []
        assert [stem(image) for image in found.images] == [image.name for image in drawn]
        for image, expected in zip(found.images, drawn, strict=True):
            assert (image.width, image.height) == expected.size and image.apply_exif
            assert (found.root / image.path).is_file()
            assert [thing.label for thing in image.instances] == [thing.label for thing in expected.things]
            for thing, truth in zip(image.instances, expected.things, strict=True):
                assert thing.box == pytest.approx(truth.box, abs=TOLERANCE[layout])
                assert not thing.crowd and not thing.difficult
                if layout in ("coco", "exported", "beside"):
                    assert thing.segmentation == [list(truth.polygon)]
                else:
                    left, top, right, bottom = thing.box
                    assert thing.segmentation is None
                    assert thing.area == pytest.approx((right - left) * (bottom - top))


def test_outlines_of_yolo_are_masks(tmp_path: Path, drawings: Drawings) -> None:
    write(tmp_path / "set", "outlines", drawings)
    found = loaded(tmp_path / "set").split("train")
    for image, expected in zip(found.images, drawings.splits["train"], strict=True):
        for thing, truth in zip(image.instances, expected.things, strict=True):
            assert thing.box == pytest.approx(truth.box, abs=2e-4)
            assert isinstance(thing.segmentation, list)
            assert thing.segmentation[0] == pytest.approx(list(truth.polygon), abs=2e-4)
            xs, ys = truth.polygon[0::2], truth.polygon[1::2]
            doubled = sum(xs[place - 1] * ys[place] - xs[place] * ys[place - 1] for place in range(len(xs)))
            assert thing.area == pytest.approx(abs(doubled) / 2, rel=1e-4)


def test_the_fingerprint_follows_annotations_and_images(tmp_path: Path, drawings: Drawings) -> None:
    for layout in ("coco", "voc", "yolo"):
        root = tmp_path / layout
        write(root, layout, drawings)
        before = loaded(root).fingerprint()
        assert before == loaded(root).fingerprint()
        files = [root / path for path in loaded(root).split("train").files]
        changed = next(path for path in files if path.suffix in (".json", ".xml") or "labels" in path.parts)
        changed.write_text(changed.read_text() + "\n")
        assert loaded(root).fingerprint() != before
