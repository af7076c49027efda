"""Tiny scenes on disk: coloured rectangles and their label maps, in the layout of every dense data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.data import Dataset, Scenes

CLASSES = ("warm", "cool", "green")
COLOURS = np.array([(220, 90, 40), (40, 90, 220), (60, 200, 70)])
SIZE = 48


def render(root: Path, counts: dict[str, int]) -> Scenes:
    """Write images with two rectangles each, and label maps in which 0 is background."""
    rng = np.random.default_rng(0)
    for split, count in counts.items():
        for folder in ("images", "segmentation"):
            (root / folder / split).mkdir(parents=True)
        for number in range(count):
            image = rng.normal(128, 12, (SIZE, SIZE, 3))
            labels = np.zeros((SIZE, SIZE), np.uint8)
            for kind in rng.integers(len(CLASSES), size=2):
                top, left = rng.integers(0, SIZE - 20, 2)
                window = np.s_[top : top + rng.integers(12, 20), left : left + rng.integers(12, 20)]
                image[window] = COLOURS[kind] + rng.normal(0, 12, image[window].shape)
                labels[window] = kind + 1
            name = f"{number:03d}.png"
            pixels = image.clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / "images" / split / name)
            Image.fromarray(labels).save(root / "segmentation" / split / name)
    return Scenes(root, CLASSES)


@pytest.fixture(scope="session")
def rectangles(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A data set with scenes only: 24 training and 10 test images of 48 px."""
    root = tmp_path_factory.mktemp("rectangles")
    return Dataset("rectangles", root, CLASSES, {}, 32, render(root, {"train": 24, "test": 10}))


@pytest.fixture
def own_rectangles(tmp_path: Path) -> Dataset:
    """A small copy that a test may damage."""
    root = tmp_path / "rectangles"
    return Dataset("rectangles", root, CLASSES, {}, 32, render(root, {"train": 3, "test": 2}))
