"""Detectors that train in seconds, and their losses; shared by tests and by the scripts that they start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmbench.data import Dataset, Scenes
from mmbench.transfer import resume

CLASSES = ("red", "green", "blue")
COLOURS = ((220, 40, 40), (40, 200, 60), (50, 60, 220))
SIZE = 64
SHORT = {
    "decay_at": [],
    "warmup_iterations": 0,
    "batch_size": 2,
    "train_sizes": [64],
    "test_size": 64,
    "learning_rate": 0.002,
}
PROPOSALS = {"train_proposals": [40, 8], "test_proposals": [40, 8], "rpn_batch": 32, "roi_batch": 16}
PYRAMID: dict[str, Any] = {**SHORT, **PROPOSALS, "detector": "pyramid", "pyramid_channels": 16}
# res5 runs on every proposal, so there are few.
C4: dict[str, Any] = {
    **SHORT,
    "detector": "c4",
    "c4_anchor_sizes": [16, 32],
    "train_proposals": [12, 3],
    "test_proposals": [12, 3],
    "rpn_batch": 32,
    "roi_batch": 4,
}
FPN: dict[str, Any] = {
    **SHORT,
    **PROPOSALS,
    "detector": "fpn",
    "fpn_channels": 16,
    "box_width": 16,
    "anchor_sizes": [[8], [16], [32], [48], [64]],
}
ARCHS = {"c4": "mixmask_resnet18", "fpn": "mixmask_resnet18", "pyramid": "mixmask_resnet8"}


def write_boxes(root: Path, counts: dict[str, int], seed: int = 0, most: int = 1) -> Dataset:
    """Write images with coloured rectangles, one to `most` each, and return them as a data set."""
    rng = np.random.default_rng(seed)
    for split, count in counts.items():
        folder = root / "images" / split
        folder.mkdir(parents=True)
        images, annotations = [], []
        for number in range(1, count + 1):
            pixels = rng.normal(128, 12, (SIZE, SIZE, 3))
            for _ in range(int(rng.integers(1, most + 1))):
                kind = int(rng.integers(len(CLASSES)))
                width, height = (int(side) for side in rng.integers(18, 33, 2))
                left, top = int(rng.integers(0, SIZE - width)), int(rng.integers(0, SIZE - height))
                pixels[top : top + height, left : left + width] = COLOURS[kind]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": kind + 1,
                        "bbox": [left, top, width, height],
                        "area": width * height,
                        "iscrowd": 0,
                        "segmentation": [
                            [left, top, left + width, top, left + width, top + height, left, top + height]
                        ],
                    }
                )
            name = f"{split}{number:03d}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
            images.append({"id": number, "file_name": name, "width": SIZE, "height": SIZE})
        content = {
            "images": images,
            "annotations": annotations,
            "categories": [{"id": index + 1, "name": name} for index, name in enumerate(CLASSES)],
        }
        path = root / "annotations" / f"{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return boxes_at(root)


def boxes_at(root: Path) -> Dataset:
    """Return the data set that `write_boxes` wrote."""
    return Dataset("rectangles", root, CLASSES, {}, image_size=32, scenes=Scenes(root, CLASSES))


def losses(work: Path) -> list[float]:
    """Return the losses in metrics.json, one per line."""
    lines = (work / "metrics.json").read_text().splitlines()
    return [json.loads(line)["total_loss"] for line in lines]


def detections(work: Path) -> Any:
    """Return the detections of a run, as they were scored."""
    return json.loads((work / "evaluation" / "coco_instances_results.json").read_text())


class Killed(BaseException):
    """Ends a run as a crash would: nothing handles it."""


AFTER_TRAINING = ("evaluating", "averaging")  # how the messages begin that follow the last iteration


class SaveThenKill:
    """Has the state saved at one iteration, and the run killed at another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, save_at: int, kill_at: int) -> None:
        self.monkeypatch, self.save_at, self.kill_at = monkeypatch, save_at, kill_at
        self.seen = list[int]()

    def __call__(self, done: int, total: int, message: str) -> None:
        if message.startswith(AFTER_TRAINING):
            return
        self.seen.append(done)
        if done == self.kill_at:
            raise Killed
        due = 0.0 if done == self.save_at else float("inf")
        self.monkeypatch.setattr(resume, "SAVE_EVERY_SECONDS", due)
