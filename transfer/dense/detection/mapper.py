"""From an annotated image to a detector's input: pixels by our rules, augmentation by Detectron2's."""

from __future__ import annotations

import contextlib
import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetMapper
from detectron2.data import detection_utils as utils
from detectron2.data import transforms as T
from numpy.typing import NDArray

from mmbench.data.decoding import open_rgb


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


@contextlib.contextmanager
def drawn(seed: int, number: int) -> Iterator[None]:
    """Seed what Detectron2's augmentations draw from, by a draw's number; afterwards it is as before.

    torch's random state is not used by them, and belongs to the training.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    words = np.random.SeedSequence((seed, number)).generate_state(4)
    np.random.seed(words)
    random.seed(int(words[0]))
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
