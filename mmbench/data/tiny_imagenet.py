"""Tiny-ImageNet, read as it is unzipped: 200 classes, 64 px, 500 train and 50 val images of each."""

from __future__ import annotations

import functools
from pathlib import Path

import torch

from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.folder import carved_from, class_names, image_files
from mmbench.data.manifest import expected_counts
from mmbench.data.types import ImageFiles
from mmbench.errors import UserError

IMAGE_SIZE = 64
HELD_OUT_SHARE = 0.1  # of train, for choosing hyperparameters
FOLDER = "tiny-imagenet-200"
ARCHIVE = f"http://cs231n.stanford.edu/{FOLDER}.zip"
ARCHIVE_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"


def _read_val(folder: Path, classes: tuple[str, ...]) -> ImageFiles:
    """Return the val images, whose classes are in val_annotations.txt: name, class, box.

    Raises:
        UserError: the file is missing or names a class that train does not have.
    """
    annotations = folder / "val_annotations.txt"
    if not annotations.is_file():
        raise UserError(f"{annotations} is missing; unzip tiny-imagenet-200.zip again")
    numbers = {name: index for index, name in enumerate(classes)}
    paths, labels = [], []
    for number, line in enumerate(annotations.read_text(encoding="utf-8").splitlines(), 1):
        image, _, rest = line.partition("\t")
        name = rest.partition("\t")[0]
        if name not in numbers:
            raise UserError(f"{annotations}, line {number}: class '{name}' is not in the train folder")
        paths.append(f"images/{image}")
        labels.append(numbers[name])
    return ImageFiles(folder, paths, torch.tensor(labels, dtype=torch.int64))


def download_tiny_imagenet(root: Path) -> None:
    """Let torchvision fetch the authors' archive and unpack it in `root`."""
    from torchvision.datasets.utils import download_and_extract_archive

    download_and_extract_archive(ARCHIVE, str(root), md5=ARCHIVE_MD5, remove_finished=True)


@DATASETS.register("tiny-imagenet")
def load_tiny_imagenet(root: Path) -> Dataset:
    """Return Tiny-ImageNet: its val images are the test split, 10% of each class of train are val.

    Its own test images come without labels and are not used.

    Args:
        root: the unzipped folder, or the folder that holds `tiny-imagenet-200`.

    Raises:
        UserError: the files are missing.
    """
    root = root / FOLDER if (root / FOLDER).is_dir() else root
    if not (root / "train").is_dir():
        raise UserError(
            f"tiny-imagenet is not in {root}; unzip {ARCHIVE} there, or run: "
            f"mmbench data prepare tiny-imagenet --root {root.parent} --download"
        )
    classes = class_names(root / "train")
    train = functools.partial(image_files, root / "train", classes)
    test = functools.partial(_read_val, root / "val", classes)
    return Dataset(
        "tiny-imagenet",
        root,
        classes,
        image_size=IMAGE_SIZE,
        files={**carved_from(train, HELD_OUT_SHARE), "test": test},
        expected=expected_counts("tiny-imagenet"),
    )
