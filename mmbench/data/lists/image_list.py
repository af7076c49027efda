"""A list of image files as a data set without labels, for pretraining."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from mmbench.data.dataset import Dataset
from mmbench.data.lists.text_lists import read_items, resolve
from mmbench.data.types import ImageFiles
from mmbench.errors import UserError
from mmbench.file_names import counted, listed, printable

IMAGE_SIZE = 32


def load_image_list(path: Path, image_size: int = IMAGE_SIZE) -> Dataset:
    """Return the images that a text file names, one path per line, as a train split without labels.

    Paths are relative to the list's folder. Lines that name the same file are used once, which is said.

    Raises:
        UserError: the list cannot be read or is empty; files that are missing or are not regular files; lines
            that name several.
    """
    items = read_items(path, "list of images")
    root = path.parent
    home = root.absolute()
    found: dict[str, str] = {}
    missing: list[tuple[int, str]] = []
    repeated: list[str] = []
    for number, item in items:
        named = resolve(item, lambda text: _file(home, text), f"{printable(path)}, line {number}")
        if not named:
            missing.append((number, item))
        elif (place := os.path.normpath(home / named[0])) in found:
            repeated.append(named[0])
        else:
            found[place] = named[0]
    if missing:
        number, item = missing[0]
        raise UserError(
            f"{printable(path)}, line {number}: no file '{printable(item)}' in {printable(root.absolute())} "
            f"({len(missing)} of {len(items)} are missing); write one path of an image per line, relative to "
            "the list"
        )
    remarks = [f"all {counted(len(found), 'image')} that {printable(path)} names are used, without labels"]
    if repeated:
        remarks.append(f"named more than once and used once: {len(repeated)} ({listed(repeated)})")
    files = ImageFiles(root, list(found.values()), torch.zeros(len(found), dtype=torch.int64))
    return Dataset(
        printable(path.stem),
        root,
        ("unlabelled",),
        image_size=image_size,
        files={"train": lambda: files},
        remarks=tuple(remarks),
    )


def _file(root: Path, name: str) -> list[str]:
    """Return the name where it is that of a regular file, else nothing."""
    try:
        return [name] if (root / name).is_file() else []
    except ValueError:  # a zero byte in the name
        return []
