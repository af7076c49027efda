"""CIFAR-10 and CIFAR-100, as torchvision stores them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.manifest import expected_counts
from mmbench.data.subsets import split_by_class
from mmbench.data.types import SPLITS, ImageSplit
from mmbench.errors import UserError

IMAGE_SIZE = 32
READERS = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}  # torchvision's classes
HELD_OUT_SHARE = 0.1  # of train, for choosing hyperparameters; test stays untouched


def _read(name: str, root: Path, train: bool) -> Any:
    """Return torchvision's data set, checked by torchvision's MD5 sums."""
    from torchvision import datasets

    try:
        return getattr(datasets, READERS[name])(str(root), train=train, download=False)
    except RuntimeError:
        raise UserError(
            f"{name} is not in {root} (or is corrupted); unpack the authors' Python archive there, or run: "
            f"mmbench data prepare {name} --data-root {root.parent} --download"
        ) from None


def _split(read: Callable[[bool], Any], split: str) -> ImageSplit:
    source = read(split != "test")
    images = torch.from_numpy(source.data).permute(0, 3, 1, 2).contiguous()
    labels = torch.tensor(source.targets, dtype=torch.int64)
    if split == "test":
        return ImageSplit(images, labels)
    train, val = split_by_class(labels, [HELD_OUT_SHARE], seed=0)
    indices = train if split == "train" else val
    return ImageSplit(images[indices], labels[indices])


def _load(name: str, root: Path) -> Dataset:
    """Return the data set; 10% of each class of its training images are the val split.

    Raises:
        UserError: the files are missing or corrupted.
    """
    read = functools.lru_cache(maxsize=2)(functools.partial(_read, name, root))
    classes = tuple(read(True).classes)
    splits: dict[str, Callable[[], ImageSplit]] = {
        split: functools.partial(_split, read, split) for split in SPLITS
    }
    return Dataset(name, root, classes, splits, IMAGE_SIZE, expected=expected_counts(name))


for _name in READERS:
    DATASETS.register(_name)(functools.partial(_load, _name))
