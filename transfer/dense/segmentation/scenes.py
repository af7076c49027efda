"""Scenes as mmsegmentation's data set, checked before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from PIL import Image

from mmbench.data import Scenes
from mmbench.data.types import Split
from mmbench.errors import UserError

IGNORED = 255  # pixels with this label count neither in the loss nor in the metric
IMAGE_ENDINGS = (".png", ".jpg", ".jpeg")


def pairs(images: Path, label_maps: Path) -> list[tuple[Path, Path]]:
    """Return (image, label map) pairs in the order of their names.

    Raises:
        UserError: there is no label map, or one has no image of its name.
    """
    found = sorted(label_maps.glob("*.png"))
    if not found:
        raise UserError(f"no label maps (*.png) in {label_maps}; prepare the data set again")
    by_stem = {path.stem: path for path in images.glob("*") if path.suffix.lower() in IMAGE_ENDINGS}
    missing = [path.name for path in found if path.stem not in by_stem]
    if missing:
        raise UserError(
            f"{len(missing)} label maps in {label_maps} have no image in {images} "
            f"({missing[0]}, ...); prepare the data set again"
        )
    return [(by_stem[path.stem], path) for path in found]


def check_scenes(scenes: Scenes, split: Split) -> int:
    """Return the number of images of a split, whose label maps must fit the data set's classes.

    Raises:
        UserError: images or label maps are missing or unreadable, or a label is not that of a class.
    """
    found = pairs(scenes.images(split), scenes.segmentation(split))
    for _, path in found:
        try:
            with Image.open(path) as image:
                labels = np.unique(np.asarray(image))
        except OSError:
            raise UserError(f"label map {path} cannot be read; prepare the data set again") from None
        unknown = [int(label) for label in labels if len(scenes.classes) < label != IGNORED]
        if unknown:
            raise UserError(
                f"label {unknown[0]} in {path} is not that of a class: there are background (0) and "
                f"{len(scenes.classes)} classes"
            )
    return len(found)


@DATASETS.register_module()
class MMBenchScenes(BaseSegDataset):
    """Images and label maps of the same stem; label 0 is background, class i is i + 1."""

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return what mmsegmentation's loading transforms need, per image."""
        found = pairs(Path(self.data_prefix["img_path"]), Path(self.data_prefix["seg_map_path"]))
        return [
            {
                "img_path": str(image),
                "seg_map_path": str(label_map),
                "label_map": self.label_map,
                "reduce_zero_label": self.reduce_zero_label,
                "seg_fields": [],
            }
            for image, label_map in found
        ]
