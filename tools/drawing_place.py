"""Where a figure of a data set may be written: not among the images, of which it would become one."""

from __future__ import annotations

from pathlib import Path

from mmbench.data import Dataset
from mmbench.data.opening import image_path
from mmbench.errors import UserError
from mmbench.file_names import printable
from mmbench.writable import require_no_input


def require_outside(out: Path, dataset: Dataset, data: str, data_root: Path) -> None:
    """Check that a figure replaces no image of a data set and does not become one.

    Args:
        out: the file to write.
        dataset: what it shows.
        data, data_root: what `load_dataset` was given.

    Raises:
        UserError: it lies in the folder of the data set, or is an image or the list of it.
    """
    named = image_path(data, data_root)
    if named is not None and named.is_file():  # a list: its images lie anywhere, and its folder is not theirs
        images = (split() for split in dataset.files.values())
        require_no_input(out, "--out", [named, *(part.root / path for part in images for path in part.paths)])
    elif dataset.root.resolve() in out.resolve().parents:
        raise UserError(
            f"--out {printable(out)} lies in the folder of the data set {printable(dataset.name)}, as one of "
            "its files; choose a place outside it"
        )
