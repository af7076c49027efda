"""Caltech-101 (Fei-Fei et al. 2004), with 30 drawn pictures of each class to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchvision.datasets import Caltech101

from mmbench.data.dataset import DATASETS, DOWNLOADERS, Dataset
from mmbench.data.torchvision_files import Reader
from mmbench.errors import UserError

FOLDER = "caltech101"
PICTURES = "101_ObjectCategories"
BACKGROUND = "BACKGROUND_Google"


def _read(root: Path, part: str) -> Caltech101:
    if not (root / FOLDER / PICTURES / BACKGROUND).is_dir():  # torchvision would say "x not in list"
        raise UserError(
            f"{root / FOLDER / PICTURES / BACKGROUND} is missing; torchvision expects the folder, although "
            "its pictures are not used: unpack 101_ObjectCategories.tar.gz again"
        )
    return Caltech101(str(root))


def _pictures(source: Any) -> Iterator[tuple[Path, int]]:
    """Yield the paths as torchvision composes them: image_0001.jpg to as many as the folder holds."""
    folder = Path(source.root) / PICTURES
    for number, label in zip(source.index, source.y, strict=True):
        yield folder / source.categories[label] / f"image_{number:04d}.jpg", label


@DOWNLOADERS.register("caltech101")
def download_caltech101(root: Path) -> None:
    """Let torchvision fetch and unpack Caltech-101 in `root`."""
    Caltech101(str(root), download=True)


@DATASETS.register("caltech101")
def load_caltech101(root: Path) -> Dataset:
    """Return Caltech-101 without its background class; reported as mean per class.

    There is no official split. As the field does (Kornblith et al. 2019), 30 pictures of each class are
    drawn, here by seed 0, and the others are test. Of those 30, 5 are val and 25 are train.

    Raises:
        UserError: files that are missing or damaged.
    """
    return Reader("caltech101", FOLDER, _read, _pictures, lambda source: source.categories).dataset(root)
