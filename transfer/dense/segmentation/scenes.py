"""Scenes as mmsegmentation's data set, checked before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from PIL import Image

from mmbench.data import Scenes
from mmbench.data.types import Split
from mmbench.errors import UserError

IGNORED = 255  # pixels of this label count neither in the loss nor in the metric
PICTURES = (".png", ".jpg", ".jpeg")


def pairs(pictures: Path, label_maps: Path) -> list[tuple[Path, Path]]:
    """Return (picture, label map) pairs in the order of their names.

    Raises:
        UserError: there is no label map, or one has no picture of its name.
    """
    found = sorted(label_maps.glob("*.png"))
    if not found:
        raise UserError(f"no label maps (*.png) in {label_maps}; prepare the data set again")
    by_stem = {path.stem: path for path in pictures.glob("*") if path.suffix.lower() in PICTURES}
    missing = [path.name for path in found if path.stem not in by_stem]
    if missing:
        raise UserError(
            f"{len(missing)} label maps in {label_maps} have no picture in {pictures} "
            f"({missing[0]}, ...); prepare the data set again"
        )
    return [(by_stem[path.stem], path) for path in found]


def check_scenes(scenes: Scenes, split: Split) -> int:
    """Return the number of pictures of a split whose label maps fit the data set's classes.

    Raises:
        UserError: pictures or label maps are missing or unreadable, or a label names no class.
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
                f"label {unknown[0]} in {path} names no class: there are background (0) and "
                f"{len(scenes.classes)} classes"
            )
    return len(found)


def draw_subset(total: int, count: int, seed: int) -> list[int]:
    """Return `count` of the indices below `total`, drawn by `seed`, in rising order."""
    generator = torch.Generator().manual_seed(seed)
    return sorted(torch.randperm(total, generator=generator)[:count].tolist())


@DATASETS.register_module()
class MMBenchScenes(BaseSegDataset):
    """Images and label maps of the same stem; label 0 is background, class i is i + 1."""

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return what mmsegmentation's loading transforms need, per picture."""
        found = pairs(Path(self.data_prefix["img_path"]), Path(self.data_prefix["seg_map_path"]))
        return [
            {
                "img_path": str(picture),
                "seg_map_path": str(label_map),
                "label_map": self.label_map,
                "reduce_zero_label": self.reduce_zero_label,
                "seg_fields": [],
            }
            for picture, label_map in found
        ]
