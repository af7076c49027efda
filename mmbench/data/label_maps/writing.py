"""Write mask files of a published data set: each one completely or not at all, and none twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from mmbench.errors import UserError
from mmbench.file_names import printable
from mmbench.files import atomic_path, require_free_space
from mmbench.processes import cores
from mmbench.progress import Report

ONE_VALUE = frozenset({"L", "P"})  # modes of mask files with one value per pixel


@dataclass(frozen=True)
class MaskFile:
    """One mask file.

    Attributes:
        target: where it is written.
        draw: returns its pixels, in mode L or P.
    """

    target: Path
    draw: Callable[[], Image.Image]


def write_masks(
    masks: Sequence[MaskFile], *, force: bool, report: Report | None, bytes_each: int
) -> tuple[int, int]:
    """Write mask files; return how many were written, and how many were there before.

    Files that are there are kept, unless they are damaged, so what was interrupted goes on where it was.

    Args:
        force: replace those that are there.
        report: called with (done, total, words).
        bytes_each: size of a file, for the check of the free space.

    Raises:
        UserError: a file that is there is not a mask of values; what `draw` raises; a disk without space.
    """
    if masks:
        new = sum(not mask.target.exists() for mask in masks)  # others are kept, or replaced one by one
        require_free_space(masks[0].target.parent, bytes_each * new, "the mask files")
    written = 0
    pool = ThreadPoolExecutor(cores())
    try:
        for done, new in enumerate(pool.map(lambda mask: _write(mask, force), masks), start=1):
            written += new
            if report is not None:
                report(done, len(masks), "masks")
    finally:
        pool.shutdown(cancel_futures=True)
    return written, len(masks) - written


def _write(mask: MaskFile, force: bool) -> bool:
    """Write a file if it is needed; return whether it was."""
    if not force and _is_there(mask.target):
        return False
    image = mask.draw()
    with atomic_path(mask.target) as temporary:
        image.save(temporary, format="PNG")
    return True


def _is_there(path: Path) -> bool:
    """Return whether there is a mask file that can be read.

    Raises:
        UserError: there is an image of another kind.
    """
    try:
        with Image.open(path) as image:
            image.load()
            mode = image.mode
    except Exception:  # missing or, as Pillow's decoders raise almost anything, damaged
        return False
    if mode in ONE_VALUE:
        return True
    raise UserError(
        f"{printable(path)} has mode {mode}, where a mask with one value per pixel is written; move it, or "
        "replace it by --force"
    )
