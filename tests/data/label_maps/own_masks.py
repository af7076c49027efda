"""Small images with label maps in the layout of scenes, and changes to them as users' files have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmbench.data import Dataset, Scenes
from mmbench.data.annotated.types import AnnotatedData

NAMES = ("cat", "dog", "bus")
SIZE = (24, 16)  # width and height
COUNTS = {"train": 4, "test": 2}

Labels = NDArray[Any]


def truth(split: str, number: int) -> Labels:
    """Return (16, 24) labels: a band of each of the three classes on background."""
    labels = np.zeros(SIZE[::-1], np.uint8)
    for label in (1, 2, 3):
        left = (5 * label + 3 * number + (split == "test")) % 20
        labels[2 * label : 2 * label + 6, left : left + 4] = label
    return labels


def write(root: Path, change: Callable[[Labels], Labels | Image.Image] = lambda labels: labels) -> Path:
    """Write images/SPLIT and segmentation/SPLIT; label maps go through `change`."""
    generator = np.random.default_rng(0)
    for split, count in COUNTS.items():
        for folder in ("images", "segmentation"):
            (root / folder / split).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 255, (*SIZE[::-1], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / f"images/{split}/{number}.png")
            save(root / f"segmentation/{split}/{number}.png", change(truth(split, number)))
    return root


def save(path: Path, mask: Labels | Image.Image) -> None:
    """Write a mask file."""
    (mask if isinstance(mask, Image.Image) else Image.fromarray(mask)).save(path)


def opened(root: Path, names: tuple[str, ...] = NAMES) -> AnnotatedData:
    """Return the label maps of scenes that are registered in Python."""
    return Dataset("own", root, names, scenes=Scenes(root, names)).require_label_maps()


def found(data: AnnotatedData, split: Any = "train") -> list[str]:
    """Return the findings of a split, as lines."""
    return [finding.line() for finding in data.split(split).findings]
