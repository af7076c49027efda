"""Small images of coloured squares with label maps, for retrieval in one process and in two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset, Scenes
from mmbench.data.label_maps.types import IGNORED
from mmbench.transfer.controls import pixels_backbone

NAMES = ("red", "green", "blue")
HEIGHT, WIDTH, STRIDE = 32, 40, 8
COUNTS = {"train": 7, "val": 3}
# Features are the pixels of 8 x 8 squares; nothing is random.
PLAIN: dict[str, Any] = {
    "output_stride": STRIDE,
    "test_mode": "whole",
    "scored_size": None,
    "memory_size": None,
    "memory_type": "float32",
    "neighbours": 5,
    "temperature": 0.05,
    "augmentation": "none",
    "epochs": 1,
}
CROPS: dict[str, Any] = PLAIN | {
    "test_mode": "squash",
    "test_size": 32,
    "memory_size": 7 * 2 * 4,
    "augmentation": "resized-crop",
    "epochs": 2,
    "crop": 32,
    "jitter": 0.1,
}


def write_squares(root: Path) -> Dataset:
    """Write noisy images with one square of each class on background, ignored pixels around them and on top.

    The first training image is ignored nearly everywhere.
    """
    generator = np.random.default_rng(0)
    for split, count in COUNTS.items():
        for folder in ("images", "segmentation"):
            (root / folder / split).mkdir(parents=True)
        for number in range(count):
            image = generator.normal(110, 40, (HEIGHT, WIDTH, 3))
            labels = np.zeros((HEIGHT, WIDTH), np.uint8)
            for label in (1, 2, 3):
                top, left = generator.integers(8, HEIGHT - 12), generator.integers(0, WIDTH - 12)
                labels[top - 1 : top + 13, max(0, left - 1) : left + 13] = IGNORED
                labels[top : top + 12, left : left + 12] = label
                image[top : top + 12, left : left + 12, label - 1] += 90
            labels[:8, : WIDTH // 2] = IGNORED
            if split == "train" and number == 0:
                labels[8:] = IGNORED
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / f"images/{split}/{number}.png")
            Image.fromarray(labels).save(root / f"segmentation/{split}/{number}.png")
    return Dataset("squares", root, NAMES, scenes=Scenes(root, NAMES))


def pixels() -> Backbone:
    """Return the control whose features are the pixels of squares."""
    return pixels_backbone(32)
