"""Where the four files of Fashion-MNIST may lie; a light module, which plans read too."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

NAME = "fashion-mnist"
RAW = "FashionMNIST/raw"  # torchvision's folder
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
DEBIAN_PACKAGE = "dataset-fashion-mnist"
PARTS = {"train": "train", "test": "t10k"}  # official part -> how the names of its files begin


class Place(NamedTuple):
    """A folder that may hold the files.

    Attributes:
        files: those of the four that are there, by the name of the unpacked file.
        missing: names of the others.
    """

    folder: Path
    files: dict[str, Path]
    missing: tuple[str, ...]


def file_names(part: str) -> tuple[str, str]:
    """Return the names of the unpacked files of images and of labels of an official part."""
    return f"{PARTS[part]}-images-idx3-ubyte", f"{PARTS[part]}-labels-idx1-ubyte"


def places(root: Path) -> list[Place]:
    """Return what is in each of the folders that are searched, in their order.

    Args:
        root: the folder of the data set.
    """
    # Old versions of torchvision had raw/ without a folder of the data set's name around it.
    folders = (root / RAW, root / "raw", root, root.parent / RAW, DEBIAN)
    found = []
    names = [name for part in PARTS for name in file_names(part)]
    for folder in folders:
        packings = {name: (folder / name, folder / f"{name}.gz") for name in names}
        files = {name: path for name, paths in packings.items() for path in reversed(paths) if path.is_file()}
        found.append(Place(folder, files, tuple(name for name in names if name not in files)))
    return found
