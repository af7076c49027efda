"""Patterns: the embedded data set, rendered from a seed, the same bytes on every machine."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from mmbench.data.dataset import DATASETS, Dataset, ImageSplit
from mmbench.data.dense_files import Scenes
from mmbench.data.folder import picture_files
from mmbench.data.patterns.images import STORED_SIZE
from mmbench.data.patterns.prepare import PatternsConfig, prepare, read_manifest
from mmbench.data.patterns.textures import CLASSES
from mmbench.data.pictures import decode

FED_SIZE = 32

__all__ = ["CLASSES", "FED_SIZE", "PatternsConfig", "prepare"]


def _read_split(folder: Path) -> ImageSplit:
    return decode(picture_files(folder, CLASSES), STORED_SIZE)


@DATASETS.register("patterns")
def load_patterns(root: Path) -> Dataset:
    """Return the Patterns data below `root`; they are rendered first where there are none.

    Raises:
        UserError: the folder holds something else, or another version.
    """
    if not root.exists():
        print(f"rendering the Patterns data into {root} (about 20 s, once)", file=sys.stderr, flush=True)
        prepare(root)
    read_manifest(root)
    splits = {split: functools.partial(_read_split, root / split) for split in ("train", "val", "test")}
    return Dataset("patterns", root, CLASSES, splits, FED_SIZE, Scenes(root / "scenes", CLASSES))
