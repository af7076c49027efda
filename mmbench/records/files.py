"""Which files below a folder are records: by their names, through links, each file once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mmbench.errors import one_line

ENDING = ".json"  # in upper case too
Identity = tuple[int, int]  # of a file or folder: its device and its number there


def record_files(root: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield (path, what is wrong with it, if anything is known to be) in the order of the paths.

    A folder behind a symbolic link is entered, and a file that several links lead to comes once: under the
    path without links, if it has one. Names that begin with a dot are left out.
    """
    found: dict[str, str | None] = {}
    files: list[tuple[bool, str, os.DirEntry[str]]] = []
    folders, entered = [(False, os.fspath(root))], set[Identity]()
    while folders:
        folders.sort(reverse=True)  # those behind links come last
        linked, folder = folders.pop()
        try:
            if (identity := _identity(Path(folder).stat())) in entered:
                continue
            entered.add(identity)
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    through = linked or entry.is_symlink()
                    if _is_folder(entry):
                        folders.append((through, entry.path))
                    elif entry.name.lower().endswith(ENDING) or _leads_nowhere(entry):
                        files.append((through, entry.path, entry))  # a dead link may have led to records
        except FileNotFoundError:
            continue
        except OSError as error:
            found[folder] = f"folder {one_line(folder)} cannot be read: {error.strerror}"
    seen = set[Identity]()
    for linked, name, entry in sorted(files, key=lambda file: file[:2]):
        try:
            identity = _identity(entry.stat())
        except OSError as error:
            if linked or not isinstance(error, FileNotFoundError):  # otherwise it has been removed
                found[name] = f"{one_line(name)} is a link that leads to nothing; remove it"
            continue
        if identity not in seen:
            seen.add(identity)
            found[name] = None
    for name in sorted(found, key=lambda name: name.split("/")):
        yield Path(name), found[name]


def _identity(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and not Path(entry.path).exists()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
