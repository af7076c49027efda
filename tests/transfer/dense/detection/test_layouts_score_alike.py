"""The same detections have the same AP, whichever layout the ground truth was read from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from annotated_layouts import Drawings, patterns, rectangles, write_coco, write_voc, write_yolo
from detections import feed

from mmbench.data import load_dataset
from mmbench.transfer.dense.detection.evaluation import build_evaluator

WRITERS = {"coco": write_coco, "voc": write_voc, "yolo": write_yolo}


def jittered(drawings: Drawings) -> list[dict[str, list]]:
    """Detections beside the truth, with some misses and some that are nothing."""
    rng = np.random.default_rng(0)
    found = []
    for image in drawings.splits["test"]:
        boxes, labels = [], []
        for thing in image.things:
            if rng.random() < 0.85:
                boxes.append(np.array(thing.box) + rng.normal(0, 1.5, 4))
                labels.append(thing.label)
        boxes.append(np.array([5.0, 5.0, 30.0, 30.0]) + rng.uniform(0, 20))
        labels.append(int(rng.integers(len(drawings.classes))))
        scores = rng.random(len(boxes)).tolist()
        found.append({"boxes": [box.tolist() for box in boxes], "scores": scores, "labels": labels})
    return found


@pytest.mark.parametrize(("kind", "difference"), [("rectangles", 1e-3), ("patterns", 3.0)])
def test_average_precision_is_that_of_the_drawings(tmp_path: Path, kind: str, difference: float) -> None:
    """Edges of rectangles are whole pixels, as in all layouts; VOC rounds those of Patterns by 0.5 px."""
    counts = {"train": 1, "test": 24}
    drawings = rectangles(counts) if kind == "rectangles" else patterns(counts)
    found, scores = jittered(drawings), {}
    for layout, write in WRITERS.items():
        root = write(tmp_path / layout, drawings)
        (root / "labels.txt").write_text("\n".join(drawings.classes))
        data = load_dataset(str(root)).annotated
        assert data is not None and data.classes == drawings.classes
        split = data.split("test")
        evaluator = build_evaluator(
            "coco", split, data.classes, layout, ("boxes",), tmp_path / "out" / layout
        )
        feed(evaluator, split, found)
        metrics = evaluator.evaluate()["scores"].metrics
        scores[layout] = {name: metrics[name].value for name in ("AP", "AP50", "AP75")}
    assert 20 < scores["coco"]["AP"] < 95
    for name, value in scores["coco"].items():
        assert scores["yolo"][name] == pytest.approx(value, abs=1e-3)
        assert scores["voc"][name] == pytest.approx(value, abs=difference)
