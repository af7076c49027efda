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
from mmbench.data.preparing import before_writing
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


def _announce(root: Path) -> None:
    """Report that the data are rendered and, as its name may be mistyped, if the folder of all data is made.

    Raises:
        UserError: the parent of that folder is missing.
        NotPreparedError: nothing may be written.
    """
    home = root.parent.absolute()
    if not home.exists() and not home.parent.is_dir():
        raise UserError(
            f"there is no folder {printable(home.parent)} to make the data folder {printable(home.name)} "
            "in; check --data-root (--root of `mmbench data`)"
        )
    before_writing(f"the Patterns data are not in {printable(root)} yet; a run renders them first")
    if not home.exists():
        line = f"the data folder {printable(home)} does not exist and is made now; another one: --data-root"
        print(line, file=sys.stderr, flush=True)
    print(f"rendering the Patterns data into {root} (about 20 s, once)", file=sys.stderr, flush=True)


@DATASETS.register("patterns")
def load_patterns(root: Path) -> Dataset:
    """Return the Patterns data below `root`; they are rendered first if they are missing, which is reported.

    Raises:
        UserError: the data folder cannot be made; the folder holds something else, or another version.
    """
    if not root.exists():
        _announce(root)
        prepare(root)
    read_manifest(root)
    splits = {split: functools.partial(_read_split, root / split) for split in ("train", "val", "test")}
    return Dataset("patterns", root, CLASSES, splits, FED_SIZE, Scenes(root / "scenes", CLASSES))
