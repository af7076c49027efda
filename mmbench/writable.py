"""Check that a path can be written before the work starts, not after it."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from mmbench.errors import UserError, one_line
from mmbench.faults import BAD_INPUT, fault_of
from mmbench.file_names import printable

PROBE_BYTES = 4096


def require_writable(path: Path, option: str) -> None:
    """Check that a file or folder can be made at `path`; nothing is left behind.

    Parent folders that do not exist yet are fine, and so is an existing file or folder: the caller decides
    whether it may be replaced.

    Args:
        path: the file or folder.
        option: the option that gave the path, such as "--out".

    Raises:
        UserError: the path cannot be used: a parent is a file, a name is too long, links form a loop, or the
            place is read-only.
        OSError: nothing can be written there at the moment, such as on a full disk.
    """
    try:
        above = _existing(path)
        if above.is_dir():
            with tempfile.TemporaryFile(dir=above) as probe:  # without a name, so that nothing is left behind
                probe.write(bytes(PROBE_BYTES))
                probe.flush()
        elif above != path.absolute():
            raise NotADirectoryError(errno.ENOTDIR, "", str(above))
    except (OSError, ValueError) as error:
        fault = fault_of(error)
        if fault is None or fault.exit_code != BAD_INPUT:
            raise
        reason = fault.words.rpartition(": ")[2].partition(";")[0]
        raise UserError(
            f"{option} {one_line(str(path), 300)} cannot be written: {reason}; choose another place"
        ) from None


def require_no_input(path: Path, option: str, inputs: Iterable[Path]) -> None:
    """Check that writing `path` replaces none of the files that are read, however they are named.

    Args:
        path: the file to write.
        option: the option that gave the path, such as "--out".
        inputs: files that are read.

    Raises:
        UserError: it is one of them.
    """
    if path.exists() and any(file.exists() and file.samefile(path) for file in inputs):
        raise UserError(f"{option} {printable(path)} is one of the files that are read; choose another name")


def _existing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists.

    Raises:
        OSError: it can never exist.
    """
    place = path.absolute()
    names = place.parts[1:]
    while True:
        try:
            place.stat()
            break
        except FileNotFoundError:
            if place.is_symlink():  # a broken link: writing would fail, or write somewhere else
                raise
            place = place.parent
    longest = os.pathconf(place, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    if any(len(os.fsencode(name)) > longest for name in names):
        raise OSError(errno.ENAMETOOLONG, "", str(path))
    return place
