"""Data set `arrays`: train.npz, val.npz and test.npz, each with images (N, H, W, 3) uint8 and labels (N,)."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch

from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.types import ImageSplit
from mmbench.errors import UserError

CLASSES = ("left", "right")


def _read(path: Path) -> ImageSplit:
    with np.load(path) as stored:
        images, labels = torch.from_numpy(stored["images"]), torch.from_numpy(stored["labels"])
    return ImageSplit(images.permute(0, 3, 1, 2).contiguous(), labels.long())


@DATASETS.register("arrays")
def load_arrays(root: Path) -> Dataset:
    """Return the data set in the folder `root`, which is `arrays` below the folder of all data sets."""
    files = {name: root / f"{name}.npz" for name in ("train", "val", "test")}
    for path in files.values():
        if not path.is_file():
            raise UserError(f"data set 'arrays' needs {path}")
    splits = {name: functools.partial(_read, path) for name, path in files.items()}
    return Dataset("arrays", root, CLASSES, splits, image_size=32)
