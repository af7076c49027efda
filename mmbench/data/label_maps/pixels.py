"""Pixels of mask files, read by a coding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmbench.data.file_names import printable
from mmbench.data.label_maps.types import Coding
from mmbench.errors import UserError


def read_labels(path: Path, coding: Coding) -> NDArray[np.uint8]:
    """Return the labels (height, width) of a mask file.

    Raises:
        UserError: the file cannot be read, or holds a pixel that the coding does not cover.
    """
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image)
    except OSError as error:
        raise UserError(f"label map {printable(path)} cannot be read ({error}); fix or remove it") from None
    table = np.full(1 << 16, -1, np.int16)
    for value, label in coding.labels.items():
        table[value] = label
    labels: NDArray[np.int16] = table[pixels]
    if (labels < 0).any():
        value = int(pixels[labels < 0][0])
        raise UserError(
            f"{printable(path)} has pixels of value {value}, which is not that of a class; fix it"
        )
    return labels.astype(np.uint8)
