"""Data set `stripes`: horizontal and vertical stripes, in memory."""

from __future__ import annotations

import functools
from pathlib import Path

import torch

from mmbench.data import DATASETS, Dataset, ImageSplit

COUNTS = {"train": 64, "val": 16, "test": 32}


def stripes(split: str) -> ImageSplit:
    """Return the images of a split, 40 px a side."""
    generator = torch.Generator().manual_seed(list(COUNTS).index(split))
    labels = torch.arange(COUNTS[split]) % 2
    phase, period = torch.rand((2, len(labels), 1), generator=generator)
    wave = torch.sin(6.28 * (torch.arange(40) / (4 + 2 * period) + phase))
    across = wave[:, None, :].expand(-1, 40, -1)
    grey = torch.where(labels.view(-1, 1, 1) == 1, across, across.transpose(1, 2))
    noise = torch.randn((len(labels), 3, 40, 40), generator=generator)
    return ImageSplit((128 + 90 * grey[:, None] + 8 * noise).clamp(0, 255).to(torch.uint8), labels)


@DATASETS.register("stripes")
def load(root: Path) -> Dataset:
    """Return the data set; nothing is read from `root`."""
    splits = {split: functools.partial(stripes, split) for split in COUNTS}
    return Dataset("stripes", root, ("horizontal", "vertical"), splits, 32)
