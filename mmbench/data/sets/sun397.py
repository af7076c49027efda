"""SUN397 (Xiao et al. 2010), the first of its ten partitions: 50 train and 50 test images per class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.lists.text_lists import numbered_lines, require_file, require_once
from mmbench.data.manifest import require_manifest
from mmbench.data.sets.torchvision_files import Reader, opened
from mmbench.data.types import ImageFiles
from mmbench.errors import UserError

FOLDER = "SUN397"
LISTS = {"train": "Training_01.txt", "test": "Testing_01.txt"}
PARTITIONS = "https://vision.princeton.edu/projects/2010/SUN/download/Partitions.zip"


def class_names(root: Path) -> list[str]:
    """Return the classes of ClassName.txt, "abbey" for a line /a/abbey; without a search for 108,754 images.

    Raises:
        FileNotFoundError: it is missing.
    """
    return [line[3:] for _, line in numbered_lines(require_file(root / FOLDER / "ClassName.txt"))]


def _find(root: Path) -> dict[str, int]:
    """Return the label of each image, by its path below FOLDER; as torchvision does, with its names.

    Raises:
        KeyError: an image lies in a folder that ClassName.txt does not name.
    """
    home = root / FOLDER
    numbers = {name: label for label, name in enumerate(class_names(root))}
    paths = [path.relative_to(home) for path in home.rglob("sun_*.jpg")]
    return {path.as_posix(): numbers["/".join(path.parts[1:-1])] for path in paths}


def _listed(root: Path, labels: Mapping[str, int], part: str) -> ImageFiles:
    """Return the images that the official list of a part names, a line such as /a/abbey/sun_aaa.jpg each.

    Raises:
        UserError: the list names an image that is not there, or one twice.
    """
    listing = root / LISTS[part]
    lines = [(number, line.lstrip("/")) for number, line in numbered_lines(listing)]
    for number, path in lines:
        if path not in labels:
            raise UserError(
                f"{listing}, line {number}: {path} is not in {root / FOLDER}; unpack SUN397.tar.gz again"
            )
    require_once(listing, lines)
    found = sorted((labels[path], path) for _, path in lines)
    return ImageFiles(
        root / FOLDER,
        [path for _, path in found],
        torch.tensor([label for label, _ in found], dtype=torch.int64),
    )


@DATASETS.register("sun397")
def load_sun397(root: Path) -> Dataset:
    """Return SUN397; 10% of each class of the first official training list are val.

    Raises:
        UserError: files or lists that are missing or damaged.
    """
    names = opened(require_manifest("sun397"), root, FOLDER, lambda: class_names(root))
    for listing in LISTS.values():
        if not (root / listing).is_file():
            raise UserError(
                f"{root / listing} is missing; torchvision's SUN397 has no splits: unpack {PARTITIONS} there"
            )
    reader = Reader("sun397", FOLDER, lambda root, part: _find(root))
    return reader.dataset(root, names, lambda source, part: _listed(root, source, part))
