"""PASCAL VOC 2007 (Everingham et al. 2010): 20 classes, several per image; and its boxes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmbench.data.annotated.named_voc import CLASSES, ONLY_2007, voc_data
from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.text_lists import text_of
from mmbench.data.torchvision_files import Reader
from mmbench.data.types import ImageFiles
from mmbench.errors import UserError

__all__ = ["CLASSES", "load_voc2007"]

YEAR = "2007"
FOLDER = "VOCdevkit/VOC2007"
# The development kit's 1 present, -1 absent, 0 only "difficult" objects, and what ImageSplit says of them.
MEANING = {"1": 1, "-1": 0, "0": -1}


def read_class(listing: Path, names: list[str]) -> Tensor:
    """Return int64 (N,) labels of one class from its file: a line such as "000005 -1" for every image.

    Raises:
        UserError: the file is missing, names other images than the split does, or has another value.
    """
    if not listing.is_file():
        raise UserError(f"{listing} is missing; unpack the VOC 2007 archives again")
    values: dict[str, int] = {}
    for number, line in enumerate(text_of(listing).splitlines(), 1):
        words = line.split()
        if words and (len(words) != 2 or words[1] not in MEANING):
            raise UserError(
                f"{listing}, line {number}: '{line.strip()}' is not an image and 1, 0 or -1; "
                "unpack the VOC 2007 archives again"
            )
        if words:
            values[words[0]] = MEANING[words[1]]
    if set(values) != set(names):
        other = min(set(values) ^ set(names))
        raise UserError(
            f"{listing} and the split's own list differ, first in {other}; unpack the VOC 2007 archives again"
        )
    return torch.tensor([values[name] for name in names], dtype=torch.int64)


def _labelled(root: Path, source: Any, part: str) -> ImageFiles:
    home = root / FOLDER
    paths = [Path(path).relative_to(home).as_posix() for path in source.images]
    names = [Path(path).stem for path in paths]
    lists = home / "ImageSets" / "Main"
    columns = [read_class(lists / f"{name}_{part}.txt", names) for name in CLASSES]
    return ImageFiles(home, paths, torch.stack(columns, dim=1))


def download_voc2007(root: Path) -> None:
    """Let torchvision fetch and unpack both archives of VOC 2007 in `root`."""
    from torchvision.datasets import VOCDetection

    for part in ("trainval", "test"):
        VOCDetection(str(root), year=YEAR, image_set=part, download=True)


@DATASETS.register("voc2007")
def load_voc2007(root: Path) -> Dataset:
    """Return VOC 2007 for classification, with its own train, val and test; reported as mAP.

    For detection it has boxes: trained on trainval, tested on test.

    A class of which an image has only objects marked "difficult" is -1 there, and is not evaluated.

    Raises:
        UserError: files that are missing or damaged.
    """
    from torchvision.datasets import VOCDetection

    reader = Reader("voc2007", FOLDER, lambda root, part: VOCDetection(str(root), YEAR, part))
    found = reader.dataset(root, CLASSES, lambda source, part: _labelled(root, source, part))
    return replace(found, annotated=voc_data("voc2007", (root / FOLDER).parent, ONLY_2007))
