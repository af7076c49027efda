"""SBD (Hariharan et al. 2011, Semantic Contours from Inverse Detectors): masks of 11,355 images of VOC2011.

Its archive benchmark.tgz has a .mat file per image, dataset/cls/NAME.mat, with labels 0 to 20 and no pixels
that do not count, and the lists dataset/train.txt and dataset/val.txt.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mmbench.data.lists.text_lists import read_items
from mmbench.errors import UserError
from mmbench.file_names import printable

ARCHIVE = "benchmark.tgz"
MASKS = "cls"
LISTS = ("train.txt", "val.txt")
LABELS = 21
# The folder with cls/: as unpacked, as mmsegmentation's documentation has it, as torchvision has it.
FOLDERS = (
    "benchmark_RELEASE/dataset",
    "VOCaug/dataset",
    "sbd",
    "sbd/dataset",
    "SBD",
    "SBD/dataset",
    "dataset",
)


def find_sbd(places: Iterable[Path]) -> Path | None:
    """Return the folder with SBD's cls/ below one of the places; None if there is none."""
    homes = (place / folder for place in places for folder in FOLDERS)
    return next((home for home in homes if (home / MASKS).is_dir()), None)


def sbd_names(home: Path) -> set[str]:
    """Return the names of all images of SBD that its lists state.

    Raises:
        UserError: a list or a .mat file is missing.
    """
    names: set[str] = set()
    for listing in LISTS:
        if not (home / listing).is_file():
            raise UserError(f"there is no {printable(home / listing)}; unpack SBD's {ARCHIVE} again")
        names |= {line for _, line in read_items(home / listing, "list of images")}
    there = {path.stem for path in (home / MASKS).glob("*.mat")}
    if missing := sorted(names - there):
        raise UserError(
            f"{len(missing)} of {len(names)} images of SBD have no .mat file in {printable(home / MASKS)}, "
            f"such as {printable(missing[0])}.mat; unpack {ARCHIVE} again"
        )
    return names


def read_sbd(path: Path) -> NDArray[np.uint8]:
    """Return the labels (height, width) of a .mat file: 0 is background, 1 to 20 are VOC's classes.

    Raises:
        UserError: the file is damaged, or is not one of SBD's cls/.
    """
    import scipy.io

    try:
        content = scipy.io.loadmat(path, variable_names=["GTcls"])
        labels = np.asarray(content["GTcls"]["Segmentation"][0, 0])
    except Exception as error:  # SciPy raises almost anything on damaged files
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(
            f"{printable(path)} cannot be read as a mask of SBD ({reason}); unpack {ARCHIVE} again"
        ) from None
    if labels.ndim != 2 or not labels.size or labels.min() < 0 or labels.max() >= LABELS:
        raise UserError(
            f"{printable(path)} does not hold one label of 0 to {LABELS - 1} per pixel; unpack SBD's "
            f"{ARCHIVE} again"
        )
    return labels.astype(np.uint8)
