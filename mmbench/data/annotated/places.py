"""Where a published data set is on this machine: mmbench's own folders, and those of Detectron2."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mmbench.errors import UserError
from mmbench.file_names import printable

OWN, DETECTRON2 = "MMBENCH_DATA", "DETECTRON2_DATASETS"  # variables that name a folder of data sets


def find_place(root: Path, names: Sequence[str], is_there: Callable[[Path], bool], obtain: str) -> Path:
    """Return the folder of a published data set.

    Tried are the folders `names` beside `root`, below MMBENCH_DATA, and below DETECTRON2_DATASETS.

    Args:
        root: the folder of the data set below --data-root; its last part is the name of the data set.
        names: what the folder may be called; "" stands for the folder of all data sets itself, and is tried
            below DETECTRON2_DATASETS only.
        is_there: whether a folder is that of the data set.
        obtain: what to put where, for the message.

    Raises:
        UserError: the data set is in none of them; the message lists the places that were tried.
    """
    tried: list[Path] = []
    for place in _places(root, names):
        if place not in tried:
            tried.append(place)
            if is_there(place):
                return place
    unset = [name for name in (OWN, DETECTRON2) if not os.environ.get(name)]
    hint = f"; not set: {', '.join(unset)}" if unset else ""
    raise UserError(
        f"data set '{root.name}' is not there; put {obtain} into {printable(root)} "
        f"(tried: {', '.join(printable(place) for place in tried)}{hint})"
    )


def _places(root: Path, names: Sequence[str]) -> list[Path]:
    places = [root.parent / name for name in names if name]
    if own := os.environ.get(OWN):
        places += [Path(own).expanduser() / name for name in names if name]
    if other := os.environ.get(DETECTRON2):
        places += [Path(other).expanduser() / name for name in names]
    return places
