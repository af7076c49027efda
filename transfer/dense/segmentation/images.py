"""From an annotated image to a segmentor's input: pixels by our rules, augmentation by mmsegmentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmseg.datasets  # noqa: F401  (registers transforms, which a registry would import late and aloud)
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmseg.registry import TRANSFORMS

from mmbench.data.annotated.types import AnnotatedSplit
from mmbench.data.images.decoding import open_rgb
from mmbench.data.label_maps.pixels import read_labels
from mmbench.data.label_maps.types import Coding
from mmbench.errors import UserError
from mmbench.file_names import printable
from mmbench.transfer.dense.common.reading import Item


@TRANSFORMS.register_module()
class LoadScene(BaseTransform):
    """Loads an image of any pixel format and, in training, its label map.

    Takes "image" (path), "apply_exif", "label_map" (path or None) and "coding". Gives mmsegmentation's "img"
    (H, W, 3), uint8 BGR, "gt_seg_map" (H, W), uint8, where there is a label map, and what its transforms
    need beside them.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the image as mmsegmentation's own loading transforms do.

        Raises:
            UserError: a file cannot be read, or the sizes of image and label map differ.
        """
        image = np.asarray(open_rgb(results["image"], apply_exif=results["apply_exif"]))
        found: dict[str, Any] = {
            "img": np.ascontiguousarray(image[:, :, ::-1]),
            "img_path": str(results["image"]),
            "img_shape": image.shape[:2],
            "ori_shape": image.shape[:2],
            "seg_fields": [],
        }
        if results["label_map"] is not None:
            found["gt_seg_map"] = labels_of(results["label_map"], results["coding"], image.shape[:2])
            found["seg_fields"] = ["gt_seg_map"]
        return found


def labels_of(path: Path, coding: Coding, size: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the labels of an image of (height, width), uint8.

    Raises:
        UserError: the file cannot be read, or is of another size.
    """
    labels = read_labels(path, coding)
    if labels.shape != tuple(size):
        raise UserError(
            f"label map {printable(path)} is {labels.shape[1]} x {labels.shape[0]} px and its image "
            f"{size[1]} x {size[0]} px; make them equal"
        )
    return labels


class SceneReader:
    """Reads the images of a split by index, through mmsegmentation's transforms.

    Args:
        split: images that have label maps.
        coding: of the label maps.
        transforms: configurations of mmsegmentation's transforms.
        train: whether the label map goes through the transforms; if not, it comes beside their result.
    """

    def __init__(
        self, split: AnnotatedSplit, coding: Coding, transforms: Sequence[dict[str, Any]], *, train: bool
    ) -> None:
        self.split, self.coding, self.train = split, coding, train
        with DefaultScope.overwrite_default_scope("mmseg"):  # names of transforms within transforms
            self.transforms = Compose([dict(transform) for transform in transforms])

    def __call__(self, index: int) -> Item:
        """Return "inputs", uint8 (3, H, W) BGR, and "data_samples".

        At evaluation also "name" and "labels", uint8 of the label map's own size.

        Raises:
            UserError: a file cannot be read, or the sizes of image and label map differ.
        """
        image = self.split.images[index]
        label_map = None if image.label_map is None else self.split.root / image.label_map
        given = {"image": self.split.root / image.path, "apply_exif": image.apply_exif, "coding": self.coding}
        item: Item = dict(self.transforms({**given, "label_map": label_map if self.train else None}))
        if not self.train and label_map is not None:
            size = item["data_samples"].ori_shape
            labels = labels_of(label_map, self.coding, size)
            item |= {"name": image.path, "labels": torch.from_numpy(labels)}
        return item
