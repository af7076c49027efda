"""The Describable Textures Dataset (Cimpoi et al. 2014), the first of its ten partitions."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import DTD

from mmbench.data.dataset import DATASETS, DOWNLOADERS, Dataset
from mmbench.data.torchvision_files import Reader

PARTITION = 1  # of ten; what Kornblith et al. 2019 and most after them report on
READER = Reader("dtd", "dtd", lambda root, part: DTD(str(root), split=part, partition=PARTITION))


@DOWNLOADERS.register("dtd")
def download_dtd(root: Path) -> None:
    """Let torchvision fetch and unpack DTD in `root`."""
    DTD(str(root), download=True)


@DATASETS.register("dtd")
def load_dtd(root: Path) -> Dataset:
    """Return DTD: 40 pictures per class in each of the authors' train, val and test.

    Raises:
        UserError: files that are missing or damaged.
    """
    return READER.dataset(root)
