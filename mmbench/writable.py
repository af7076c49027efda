"""Whether something can be written at a place: asked before the work, not after it."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from mmbench.errors import UserError, one_line
from mmbench.faults import BAD_INPUT, fault_of

PROBE_BYTES = 4096


def require_writable(path: Path, option: str) -> None:
    """Check that a file or folder can be made at `path`; nothing is left behind.

    Folders above it that do not exist yet are fine, and so is what is there already: whether it may be
    replaced is for others to say.

    Args:
        option: what the place was named by, such as "--out".

    Raises:
        UserError: the place is impossible: a file on the way, a name too long, links in a circle, read-only.
        OSError: the machine cannot write anything there now, such as a full disk.
    """
    try:
        above = _existing(path)
        if above.is_dir():
            with tempfile.TemporaryFile(dir=above) as probe:  # without a name, so that nothing can be left
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
            if place.is_symlink():  # a link to nowhere: writing would fail, or write somewhere else
                raise
            place = place.parent
    longest = os.pathconf(place, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    if any(len(os.fsencode(name)) > longest for name in names):
        raise OSError(errno.ENAMETOOLONG, "", str(path))
    return place
