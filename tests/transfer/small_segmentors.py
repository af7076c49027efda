"""Segmentors that train in seconds, and their losses; shared by tests and by the scripts that they start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmbench.data import Dataset, Scenes
from mmbench.transfer.dense.common.pixel_outcomes import PixelOutcomes

CLASSES = ("warm", "cool", "green")
COLOURS = ((220, 90, 40), (40, 90, 220), (60, 200, 70))
SHORT: dict[str, Any] = {
    "warmup_iterations": 0,
    "batch_size": 2,
    "crop": 32,
    "bfloat16": False,
    "test_batch": 2,
    "learning_rate": 0.01,
    "dropout": 0.1,
}
PLAIN: dict[str, Any] = {**SHORT, "head_channels": 16, "auxiliary_weight": 0.4, "auxiliary_channels": 8}
TIMM: dict[str, Any] = {**SHORT, "head_channels": 16}
UPERNET: dict[str, Any] = {**SHORT, "head": "upernet", "head_channels": 8, "pool_scales": [1, 2]}
SEGMENTORS = {
    "plain": ("mixmask_resnet18", PLAIN),
    "timm": ("mixmask_resnet8", TIMM),
    "upernet": ("mixmask_resnet8", UPERNET),
}


def write_scenes(root: Path, counts: dict[str, int], seed: int = 0, size: int = 40) -> Dataset:
    """Write images with two coloured rectangles and their label maps; every third image is wider."""
    rng = np.random.default_rng(seed)
    for split, count in counts.items():
        for folder in ("images", "segmentation"):
            (root / folder / split).mkdir(parents=True)
        for number in range(count):
            width = size + 8 * (number % 3 == 2)
            pixels = rng.normal(128, 12, (size, width, 3))
            labels = np.zeros((size, width), np.uint8)
            for kind in rng.integers(len(CLASSES), size=2):
                top, left = (int(place) for place in rng.integers(0, size - 20, 2))
                height, across = (int(side) for side in rng.integers(12, 20, 2))
                pixels[top : top + height, left : left + across] = COLOURS[kind]
                labels[top : top + height, left : left + across] = kind + 1
            labels[:2, :2] = 255
            name = f"{split}{number:03d}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(root / "images" / split / name)
            Image.fromarray(labels).save(root / "segmentation" / split / name)
    return scenes_at(root)


def scenes_at(root: Path) -> Dataset:
    """Return the data set that `write_scenes` wrote."""
    return Dataset("rectangles", root, CLASSES, {}, image_size=32, scenes=Scenes(root, CLASSES))


def losses(work: Path) -> list[dict[str, float]]:
    """Return the lines of metrics.json."""
    return [json.loads(line) for line in (work / "metrics.json").read_text().splitlines()]


class Predictions:
    """Keeps what every image is predicted as, while it stands in for `PixelOutcomes.add`."""

    def __init__(self) -> None:
        self.add, self.found = PixelOutcomes.add, dict[str, np.ndarray]()

    def taken(self) -> dict[str, np.ndarray]:
        """Return the predictions since the last call."""
        found, self.found = self.found, {}
        return found

    def function(self) -> Any:
        """Return what replaces the method."""

        def add(outcomes: PixelOutcomes, name: str, predicted: Any, truth: Any) -> None:
            self.found[name] = predicted.cpu().numpy().copy()
            self.add(outcomes, name, predicted, truth)

        return add


def same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    """Return whether both hold the same predictions, of at least one image."""
    return (
        len(first) > 0
        and first.keys() == second.keys()
        and all(np.array_equal(predicted, second[name]) for name, predicted in first.items())
    )
