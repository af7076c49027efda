"""Oxford-IIIT Pets (Parkhi et al. 2012): 37 breeds of cats and dogs."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import OxfordIIITPet

from mmbench.data.dataset import DATASETS, DOWNLOADERS, Dataset
from mmbench.data.torchvision_files import Reader

READER = Reader(
    "oxford-pets",
    "oxford-iiit-pet",
    lambda root, part: OxfordIIITPet(str(root), split=part),
    lambda source: zip(source._images, source._labels, strict=True),
)


@DOWNLOADERS.register("oxford-pets")
def download_oxford_pets(root: Path) -> None:
    """Let torchvision fetch and unpack Oxford-IIIT Pets in `root`."""
    OxfordIIITPet(str(root), download=True)


@DATASETS.register("oxford-pets")
def load_oxford_pets(root: Path) -> Dataset:
    """Return Oxford-IIIT Pets; 10% of each class of the authors' trainval are val; mean per class.

    Raises:
        UserError: files that are missing or damaged.
    """
    return READER.dataset(root)
