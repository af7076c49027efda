"""Patterns: the embedded data set, rendered from a seed, the same bytes on every machine."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from mmbench.data.dataset import DATASETS, Dataset
from mmbench.data.folder import image_files
from mmbench.data.known_splits import split_of_files
from mmbench.data.official import PUBLISHED, Official
from mmbench.data.patterns.images import STORED_SIZE
from mmbench.data.patterns.prepare import PatternsConfig, prepare, read_manifest
from mmbench.data.patterns.textures import CLASSES
from mmbench.data.types import ImageSplit, Scenes
from mmbench.errors import UserError
from mmbench.file_names import printable

FED_SIZE = 32
SCENES = PatternsConfig().scenes()
PUBLISHED.register("patterns")(
    (
        Official("Patterns", "boxes, masks", len(CLASSES), SCENES, "AP"),
        Official("Patterns", "label maps", len(CLASSES) + 1, SCENES, "mIoU"),
    )
)

__all__ = ["CLASSES", "FED_SIZE", "PatternsConfig", "prepare"]


def _read_split(folder: Path) -> ImageSplit:
    return split_of_files(image_files(folder, CLASSES), STORED_SIZE)


def _announce(home: Path) -> None:
    """Report that the folder of all data sets is created, as its name may be mistyped.

    Raises:
        UserError: its parent folder is missing.
    """
    place = home.absolute()
    if place.exists():
        return
    if not place.parent.is_dir():
        raise UserError(
            f"there is no folder {printable(place.parent)} to make the data folder {printable(place.name)} "
            "in; check --data-root (--root of `mmbench data`)"
        )
    line = f"the data folder {printable(place)} does not exist and is made now; another one: --data-root"
    print(line, file=sys.stderr, flush=True)


@DATASETS.register("patterns")
def load_patterns(root: Path) -> Dataset:
    """Return the Patterns data below `root`; they are rendered first if they are missing, which is reported.

    Raises:
        UserError: the data folder cannot be made; the folder holds something else, or another version.
    """
    if not root.exists():
        _announce(root.parent)
        print(f"rendering the Patterns data into {root} (about 20 s, once)", file=sys.stderr, flush=True)
        prepare(root)
    read_manifest(root)
    splits = {split: functools.partial(_read_split, root / split) for split in ("train", "val", "test")}
    return Dataset("patterns", root, CLASSES, splits, FED_SIZE, Scenes(root / "scenes", CLASSES))
