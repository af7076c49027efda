"""SUN397 (Xiao et al. 2010), the first of its ten partitions: 50 train and 50 test images per class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.manifest import require_manifest
from mmbench.data.text_lists import text_of
from mmbench.data.torchvision_files import Reader, opened
from mmbench.data.types import ImageFiles
from mmbench.errors import UserError

FOLDER = "SUN397"
LISTS = {"train": "Training_01.txt", "test": "Testing_01.txt"}
PARTITIONS = "https://vision.princeton.edu/projects/2010/SUN/download/Partitions.zip"


def _listed(root: Path, source: Any, part: str) -> ImageFiles:
    """Return the images that the official list of a part names, a line such as /a/abbey/sun_aaa.jpg each.

    Raises:
        UserError: the list names an image that torchvision did not find.
    """
    listing = root / LISTS[part]
    labels = {
        Path(path).relative_to(root / FOLDER).as_posix(): label
        for path, label in zip(source._image_files, source._labels, strict=True)
    }
    found = []
    for number, line in enumerate(text_of(listing).splitlines(), 1):
        path = line.strip().lstrip("/")
        if path and path not in labels:
            raise UserError(
                f"{listing}, line {number}: {path} is not in {root / FOLDER}; unpack SUN397.tar.gz again"
            )
        if path:
            found.append((labels[path], path))
    found.sort()
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
    from torchvision.datasets import SUN397

    def class_names() -> list[str]:  # as torchvision reads them, without its search for 108,754 images
        lines = (root / FOLDER / "ClassName.txt").read_text(encoding="utf-8").splitlines()
        return [line[3:].strip() for line in lines]

    names = opened(require_manifest("sun397"), root, FOLDER, class_names)
    for listing in LISTS.values():
        if not (root / listing).is_file():
            raise UserError(
                f"{root / listing} is missing; torchvision's SUN397 has no splits: unpack {PARTITIONS} there"
            )
    reader = Reader("sun397", FOLDER, lambda root, part: SUN397(str(root)))
    return reader.dataset(root, names, lambda source, part: _listed(root, source, part))
