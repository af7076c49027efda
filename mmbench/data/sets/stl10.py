"""STL-10 (Coates et al. 2011): 96 px; its 100,000 unlabelled images are not read."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, ClassVar

import torch

from mmbench.data.dataset import DATASETS, Dataset, check_count
from mmbench.data.manifest import Manifest, require_manifest
from mmbench.data.sets.drawn_splits import splits_of_parts
from mmbench.data.sets.torchvision_files import opened
from mmbench.data.types import ImageSplit

FOLDER = "stl10_binary"
CLASS_NAMES = "class_names.txt"


def _labelled(root: Path, part: str) -> Any:
    """Return what torchvision's reader finds; it would first hash 2.8 GB of unlabelled images."""
    from torchvision.datasets import STL10

    class LabelledSTL10(STL10):  # type: ignore[misc]  # torchvision has no types
        """The reader without the files of the unlabelled images."""

        train_list: ClassVar = [entry for entry in STL10.train_list if not entry[0].startswith("unlabeled")]

    return LabelledSTL10(str(root), split=part)


def _read(known: Manifest, root: Path, part: str) -> ImageSplit:
    """Return an official part in the order of classes, so that draws depend on class sizes alone."""
    source: Any = opened(known, root, FOLDER, lambda: _labelled(root, part))
    labels = torch.from_numpy(source.labels).long()
    if known.enforced:
        check_count("stl10", root, f"{part} images", len(labels), known.official.get(part))
    order = labels.argsort(stable=True)
    return ImageSplit(torch.from_numpy(source.data)[order].contiguous(), labels[order])


@DATASETS.register("stl10")
def load_stl10(root: Path) -> Dataset:
    """Return STL-10; 10% of each class of its 5000 labelled training images are val.

    Raises:
        UserError: files that are missing or damaged.
    """
    known = require_manifest("stl10")
    names = opened(known, root, FOLDER, lambda: (root / FOLDER / CLASS_NAMES).read_text())
    classes = tuple(names.split())
    expected = known.expected()
    check_count("stl10", root, "classes", len(classes), expected.get("classes"))
    splits = splits_of_parts(known, functools.partial(_read, known, root))
    return Dataset("stl10", root, classes, splits, known.image_size, metric=known.metric, expected=expected)
