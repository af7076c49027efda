"""FGVC-Aircraft (Maji et al. 2013): 100 variants of aircraft."""

from __future__ import annotations

from pathlib import Path

from torchvision.datasets import FGVCAircraft

from mmbench.data.dataset import DATASETS, DOWNLOADERS, Dataset
from mmbench.data.torchvision_files import Reader

READER = Reader(
    "fgvc-aircraft",
    "fgvc-aircraft-2013b",
    lambda root, part: FGVCAircraft(str(root), split=part, annotation_level="variant"),
)


@DOWNLOADERS.register("fgvc-aircraft")
def download_fgvc_aircraft(root: Path) -> None:
    """Let torchvision fetch and unpack FGVC-Aircraft in `root`."""
    FGVCAircraft(str(root), split="train", download=True)


@DATASETS.register("fgvc-aircraft")
def load_fgvc_aircraft(root: Path) -> Dataset:
    """Return FGVC-Aircraft by variant, with the authors' train, val and test; reported as mean per class.

    Raises:
        UserError: files that are missing or damaged.
    """
    return READER.dataset(root)
