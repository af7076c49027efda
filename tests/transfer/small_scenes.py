"""Tiny scenes with ignored pixels, for tests of dense probes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mmbench.data import Scenes

CLASSES = ("warm", "cool")
COLOURS = np.array([(220, 90, 40), (40, 90, 220)])
SIZE = 32


def render(root: Path, counts: dict[str, int], sizes: tuple[int, ...] = (SIZE,)) -> Scenes:
    """Write images with one rectangle each; its outline is ignored (255), and label 0 is background."""
    rng = np.random.default_rng(0)
    for split, count in counts.items():
        for folder in ("images", "segmentation"):
            (root / folder / split).mkdir(parents=True)
        for number in range(count):
            size = sizes[number % len(sizes)]
            image, labels = rng.normal(128, 12, (size, size, 3)), np.zeros((size, size), np.uint8)
            kind = number % len(CLASSES)
            top, left = rng.integers(1, size - 18, 2)
            labels[top - 1 : top + 17, left - 1 : left + 17] = 255
            labels[top : top + 16, left : left + 16] = kind + 1
            image[top : top + 16, left : left + 16] = COLOURS[kind] + rng.normal(0, 12, (16, 16, 3))
            name = f"{number:03d}.png"
            Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(root / "images" / split / name)
            Image.fromarray(labels).save(root / "segmentation" / split / name)
    return Scenes(root, CLASSES)
