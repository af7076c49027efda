"""Food-101 (Bossard et al. 2014): 750 train and 250 test pictures per dish."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import Food101

from mmbench.data.dataset import DATASETS, DOWNLOADERS, Dataset
from mmbench.data.torchvision_files import Reader

READER = Reader("food101", "food-101", lambda root, part: Food101(str(root), split=part))


@DOWNLOADERS.register("food101")
def download_food101(root: Path) -> None:
    """Let torchvision fetch and unpack Food-101 in `root`."""
    Food101(str(root), download=True)


@DATASETS.register("food101")
def load_food101(root: Path) -> Dataset:
    """Return Food-101; 10% of each class of the authors' train pictures are val.

    Raises:
        UserError: files that are missing or damaged.
    """
    return READER.dataset(root)
