"""Tiny-ImageNet, read as it is unzipped: 200 classes, 64 px, 500 train and 50 val images of each."""

from __future__ import annotations

import functools
from collections.abc import Collection
from pathlib import Path

import torch

from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.folder import carved_from, class_names, files_directly_in, image_files
from mmbench.data.lists.text_lists import numbered_lines, require_once
from mmbench.data.manifest import class_remarks, expected_counts
from mmbench.data.types import ImageFiles
from mmbench.errors import UserError
from mmbench.file_names import counted, listed

IMAGE_SIZE = 64
HELD_OUT_SHARE = 0.1  # of train, for choosing hyperparameters
FOLDER = "tiny-imagenet-200"
ARCHIVE = f"http://cs231n.stanford.edu/{FOLDER}.zip"
ARCHIVE_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"


def _read_val(folder: Path, classes: tuple[str, ...]) -> ImageFiles:
    """Return the val images, whose classes are in val_annotations.txt: name, class, box.

    Raises:
        UserError: the file is missing, names an image twice or a class that train does not have, or lists
            other images than there are.
    """
    annotations = folder / "val_annotations.txt"
    if not annotations.is_file():
        raise UserError(f"{annotations} is missing; unzip tiny-imagenet-200.zip again")
    numbers = {name: index for index, name in enumerate(classes)}
    found: dict[str, int] = {}
    lines = numbered_lines(annotations)
    for number, line in lines:
        image, name = _image_and_class(line)
        if not name:
            raise UserError(f"{annotations}, line {number} is not an image and its class, with a tab between")
        if name not in numbers:
            raise UserError(f"{annotations}, line {number}: class '{name}' is not in the train folder")
        found[image] = numbers[name]
    require_once(annotations, ((number, _image_and_class(line)[0]) for number, line in lines))
    _require_same(folder / "images", annotations, found)
    paths = [f"images/{image}" for image in found]
    return ImageFiles(folder, paths, torch.tensor(list(found.values()), dtype=torch.int64))


def _image_and_class(line: str) -> tuple[str, str]:
    """Return the first two columns, between tabs or, where there are none, blanks; the class may be empty."""
    image, name, *_ = (*(line.split("\t") if "\t" in line else line.split()), "")
    return image.strip(), name.strip()


def _require_same(images: Path, annotations: Path, names: Collection[str]) -> None:
    """Check that `annotations` names the images in the folder `images`, and no others.

    Raises:
        UserError: images are not listed, or missing.
    """
    there = files_directly_in(images) if images.is_dir() else []
    if unlisted := sorted(set(there).difference(names)):
        raise UserError(
            f"{counted(len(unlisted), 'image')} in {images} not in {annotations.name} ({listed(unlisted)}); "
            "add a line with name and class for each, or move them elsewhere"
        )
    if missing := sorted(set(names).difference(there)):
        raise UserError(
            f"{counted(len(missing), 'image')} of the {len(names)} in {annotations} missing from {images} "
            f"({listed(missing)}); unzip {FOLDER}.zip again, or remove their lines"
        )


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
        UserError: the files are missing; images lie beside the class folders of train.
    """
    root = root / FOLDER if (root / FOLDER).is_dir() else root
    if not (root / "train").is_dir():
        raise UserError(
            f"tiny-imagenet is not in {root}; unzip {ARCHIVE} there, or run: "
            f"mmbench data prepare tiny-imagenet --root {root.parent} --download"
        )
    classes = class_names(root / "train")
    if loose := files_directly_in(root / "train"):
        raise UserError(
            f"{counted(len(loose), 'image')} beside the class folders in {root / 'train'} ({listed(loose)}); "
            "move them into a class folder, or elsewhere"
        )
    train = functools.partial(image_files, root / "train", classes)
    test = functools.partial(_read_val, root / "val", classes)
    return Dataset(
        "tiny-imagenet",
        root,
        classes,
        image_size=IMAGE_SIZE,
        files={**carved_from(train, HELD_OUT_SHARE), "test": test},
        expected=expected_counts("tiny-imagenet"),
        remarks=class_remarks("tiny-imagenet", len(classes)),
    )
