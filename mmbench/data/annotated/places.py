"""Where a published data set is on this machine: mmbench's own folders, and those of Detectron2.

A light module, which plans read too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from mmbench.errors import UserError
from mmbench.file_names import printable

# What the folder of a data set is called in the folder of all data sets; that one itself is ".".
HOMES: dict[str, tuple[str, ...]] = {
    # mmsegmentation's is data/ade
    "ade20k": (
        *("ade20k/ADEChallengeData2016", "ade20k", "ade/ADEChallengeData2016", "ADEChallengeData2016"),
        "ADE20K/ADEChallengeData2016",
    ),
    "cityscapes": ("cityscapes",),
    "coco": ("coco",),
    "coco-keypoints": ("coco-keypoints", "coco"),
    # the folder with VOC2007
    "voc": ("voc", "voc/VOCdevkit", "VOCdevkit", "VOC", "VOC/VOCdevkit", "."),
    # the folder VOC2012
    "voc12aug": (
        *("voc12aug/VOCdevkit/VOC2012", "voc12aug/VOC2012", "voc12aug", "voc/VOCdevkit/VOC2012"),
        *("voc/VOC2012", "VOCdevkit/VOC2012", "VOC2012", "VOC/VOC2012", "VOC/VOCdevkit/VOC2012"),
    ),
}

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
    tried = places_of(root, names)
    for place in tried:
        if is_there(place):
            return place
    unset = [name for name in (OWN, DETECTRON2) if not os.environ.get(name)]
    hint = f"; not set: {', '.join(unset)}" if unset else ""
    raise UserError(
        f"data set '{root.name}' is not there; put {obtain} into {printable(root)} "
        f"(tried: {', '.join(map(printable, tried))}{hint})"
    )


def places_of(root: Path, names: Sequence[str]) -> list[Path]:
    """Return the folders that `find_place` tries, in its order."""
    places = [root.parent / name for name in names if name]
    if own := os.environ.get(OWN):
        places += [Path(own).expanduser() / name for name in names if name]
    if other := os.environ.get(DETECTRON2):
        places += [Path(other).expanduser() / name for name in names]
    return list(dict.fromkeys(places))
