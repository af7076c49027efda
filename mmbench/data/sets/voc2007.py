"""PASCAL VOC 2007 (Everingham et al. 2010): 20 classes, several per image; and its boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mmbench.data.annotated.named_voc import CLASSES, ONLY_2007, voc_data
from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.lists.text_lists import numbered_lines, require_file, require_once
from mmbench.data.sets.torchvision_files import Reader
from mmbench.data.types import ImageFiles
from mmbench.errors import UserError
from mmbench.file_names import counted

__all__ = ["CLASSES", "load_voc2007"]

YEAR = "2007"
FOLDER = "VOCdevkit/VOC2007"
LISTS = "ImageSets/Main"
# The development kit's 1 present, -1 absent, 0 only "difficult" objects, and what ImageSplit says of them.
MEANING = {"1": 1, "-1": 0, "0": -1}


def read_names(root: Path, part: str) -> list[str]:
    """Return the images of the split's own list, a line such as 000005 each.

    Raises:
        UserError: it names one twice.
        FileNotFoundError: it is missing.
    """
    listing = require_file(root / FOLDER / LISTS / f"{part}.txt")
    lines = numbered_lines(listing)
    require_once(listing, lines)
    return [name for _, name in lines]


def read_class(listing: Path, names: Sequence[str]) -> tuple[Tensor, int]:
    """Return int64 (N,) labels of one class, and how many lines of its file repeat others.

    The file has a line such as "000005 -1" for every image.

    Raises:
        UserError: the file is missing, names other images than the split does, has another value, or gives
            an image two.
    """
    if not listing.is_file():
        raise UserError(f"{listing} is missing; unpack the VOC 2007 archives again")
    values: dict[str, tuple[int, str]] = {}  # image -> line number and value
    lines = numbered_lines(listing)
    for number, line in lines:
        words = line.split()
        if len(words) != 2 or words[1] not in MEANING:
            raise UserError(
                f"{listing}, line {number}: '{line}' is not an image and 1, 0 or -1; "
                "unpack the VOC 2007 archives again"
            )
        first, value = values.setdefault(words[0], (number, words[1]))
        if value != words[1]:
            raise UserError(
                f"{listing}, line {number}: '{words[0]}' is {words[1]} here and {value} in line {first}; "
                "remove the line that is wrong"
            )
    if set(values) != set(names):
        other = min(set(values) ^ set(names))
        raise UserError(
            f"{listing} and the split's own list differ, first in {other}; unpack the VOC 2007 archives again"
        )
    labels = torch.tensor([MEANING[values[name][1]] for name in names], dtype=torch.int64)
    return labels, len(lines) - len(values)


def _labelled(root: Path, names: Sequence[str], part: str) -> ImageFiles:
    home = root / FOLDER
    columns, remarks = [], []
    for name in CLASSES:
        labels, repeats = read_class(home / LISTS / f"{name}_{part}.txt", names)
        columns.append(labels)
        if repeats:
            remarks.append(
                f"{name}_{part}.txt has {counted(repeats, 'line')} twice with the same label; used once"
            )
    paths = [f"JPEGImages/{name}.jpg" for name in names]
    return ImageFiles(home, paths, torch.stack(columns, dim=1), remarks=tuple(remarks))


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
    reader = Reader("voc2007", FOLDER, read_names)
    found = reader.dataset(root, CLASSES, lambda names, part: _labelled(root, names, part))
    return replace(found, annotated=voc_data("voc2007", (root / FOLDER).parent, ONLY_2007))
