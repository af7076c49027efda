"""From an annotated image to a detector's input: pixels by our rules, augmentation by Detectron2's."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetFromList, DatasetMapper
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from numpy.typing import NDArray

from mmbench.data.images.decoding import open_rgb


class ImageMapper(DatasetMapper):
    """Detectron2's mapper, which takes images of any pixel format and seeds each augmentation.

    Its dicts have "apply_exif" beside Detectron2's own keys; see `catalog.dataset_dicts`.
    """

    def __call__(self, dataset_dict: dict[str, Any]) -> dict[str, Any]:
        """Return the dict with "image", uint8 (3, H, W), and in training with "instances".

        Raises:
            UserError: the image cannot be read.
        """
        item = copy.deepcopy(dataset_dict)
        image = open_rgb(Path(item["file_name"]), apply_exif=item.pop("apply_exif", True))
        pixels: NDArray[np.uint8] = np.asarray(image)
        if self.image_format == "BGR":
            pixels = pixels[:, :, ::-1]
        utils.check_image_size(item, pixels)
        given = T.AugInput(pixels)
        transforms = self.augmentations(given)
        item["image"] = torch.from_numpy(np.ascontiguousarray(given.image.transpose(2, 0, 1)))
        if self.is_train:
            self._transform_annotations(item, transforms, given.image.shape[:2])
        else:
            item.pop("annotations", None)
        return item


def reader(
    dicts: Sequence[dict[str, Any]], mapper: Callable[[dict[str, Any]], dict[str, Any]]
) -> Callable[[int], dict[str, Any]]:
    """Return a function from an index to the mapped image.

    Args:
        dicts: in Detectron2's format; they are packed, so that workers share their memory.
        mapper: reads and augments.
    """
    return functools.partial(_mapped, DatasetFromList(list(dicts), copy=True), mapper)


def _mapped(
    packed: DatasetFromList, mapper: Callable[[dict[str, Any]], dict[str, Any]], index: int
) -> dict[str, Any]:
    return mapper(packed[index])
