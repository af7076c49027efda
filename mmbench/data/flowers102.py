"""Flowers-102 (Nilsback and Zisserman 2008), with the authors' train, val and test."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import Flowers102

from mmbench.data.dataset import DATASETS, DOWNLOADERS, Dataset
from mmbench.data.torchvision_files import Reader

# torchvision compares imagelabels.mat and setid.mat with the MD5 sums that the manifest gives.
READER = Reader("flowers102", "flowers-102", lambda root, part: Flowers102(str(root), split=part))


@DOWNLOADERS.register("flowers102")
def download_flowers102(root: Path) -> None:
    """Let torchvision fetch and unpack Flowers-102 in `root`."""
    Flowers102(str(root), download=True)


@DATASETS.register("flowers102")
def load_flowers102(root: Path) -> Dataset:
    """Return Flowers-102: 10 train and 10 val pictures per class; the field reports the mean per class.

    Raises:
        UserError: files that are missing or damaged.
    """
    return READER.dataset(root)
