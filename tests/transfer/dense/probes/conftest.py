"""Tiny scenes with ignored pixels, and protocols that take a few steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbench.checkpoints.backbone import Backbone, random_backbone
from mmbench.checkpoints.card import Preprocessing
from mmbench.data import Dataset, Scenes

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


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """12 training, 6 val and 6 test images of 32 px."""
    root = tmp_path_factory.mktemp("outlined")
    counts = {"train": 12, "val": 6, "test": 6}
    return Dataset("outlined", root, CLASSES, {}, SIZE, render(root, counts))


@pytest.fixture(scope="session")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Images of two sizes."""
    root = tmp_path_factory.mktemp("uneven")
    return Dataset("uneven", root, CLASSES, {}, SIZE, render(root, {"train": 6, "test": 4}, (SIZE, 40)))


@pytest.fixture(scope="session")
def small() -> Backbone:
    return random_backbone("mixmask_resnet8", 0, Preprocessing(image_size=SIZE))
