"""A list of image files as a data set without labels, for pretraining."""

from __future__ import annotations

import os
import tarfile
import zipfile
from pathlib import Path

import torch

from mmbench.data.dataset import Dataset
from mmbench.data.lists.text_lists import read_items, resolve
from mmbench.data.types import ImageFiles
from mmbench.errors import UserError
from mmbench.file_names import IMAGE_ENDINGS, counted, listed, printable

IMAGE_SIZE = 32
ARCHIVE_ENDINGS = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")


def load_image_list(path: Path, image_size: int = IMAGE_SIZE) -> Dataset:
    """Return the images that a text file names, one path per line, as a train split without labels.

    Paths are relative to the list's folder. Lines that name the same file are used once, which is said.

    Raises:
        UserError: it is an archive or an image; the list cannot be read or is empty; files that are missing
            or are not regular files; lines that name several.
    """
    _require_list(path)
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


def _require_list(path: Path) -> None:
    """Check that a file is neither an image nor an archive, which may be too large to be read as text.

    Raises:
        UserError: it is.
    """
    if path.suffix.lower() in IMAGE_ENDINGS:
        raise UserError(f"{printable(path)} is an image; name its folder, or a list with one path per line")
    try:
        archive = zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except OSError:
        return  # reading it says what is wrong
    if archive or path.suffix.lower() in ARCHIVE_ENDINGS:
        raise UserError(f"{printable(path)} is an archive; unpack it, and name the folder")


def _file(root: Path, name: str) -> list[str]:
    """Return the name where it is that of a regular file, else nothing."""
    try:
        return [name] if (root / name).is_file() else []
    except ValueError:  # a zero byte in the name
        return []
