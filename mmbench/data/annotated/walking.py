"""Files below a folder, and lists of class names: what readers of VOC and YOLO layout share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from mmbench.data.folder.scan import is_system_name
from mmbench.data.lists.text_lists import text_of
from mmbench.errors import UserError
from mmbench.file_names import IMAGE_ENDINGS, printable

LEVELS = 6  # folders below the first that are looked into


def is_image_name(path: str) -> bool:
    """Return whether a file is named like an image."""
    return PurePosixPath(path).suffix.lower() in IMAGE_ENDINGS


def files_below(root: Path, levels: int = LEVELS) -> list[str]:
    """Return the paths of all files below a folder, relative to it and sorted; hidden ones are left out."""
    return sorted(_walk(root, "", levels))


def _walk(root: Path, below: str, levels: int) -> Iterator[str]:
    try:
        with os.scandir(root / below) as found:
            entries = list(found)
    except OSError as error:
        raise UserError(f"folder {printable(root / below)} cannot be read ({error.strerror})") from None
    for entry in entries:
        path = f"{below}/{entry.name}" if below else entry.name
        if is_system_name(entry.name):
            continue
        if entry.is_dir():
            if levels:
                yield from _walk(root, path, levels - 1)
        else:
            yield path


def read_names(path: Path) -> tuple[str, ...]:
    """Return the class names in a text file with one name per line.

    Raises:
        UserError: it cannot be read, has no names, or has one of them twice.
    """
    names = [" ".join(line.split()) for line in text_of(path).splitlines() if line.strip()]
    if not names:
        raise UserError(f"{printable(path)} names no class; write one name per line")
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise UserError(f"{printable(path)} names the class '{twice}' twice; every class needs one line")
    return tuple(names)
