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
from PIL import Image

from mmbench.data.decoding import open_rgb
from mmbench.data.pixel_modes import UPRIGHT, orientation

# What undoes a turn: quarter turns become those of the other direction, the rest undo themselves.
AS_STORED = {**UPRIGHT, 6: UPRIGHT[8], 8: UPRIGHT[6]}


def read_pixels(path: Path, apply_exif: bool) -> Image.Image:
    """Return an image as 8-bit RGB, in the frame that its boxes refer to.

    Args:
        path: the file.
        apply_exif: whether that frame is the image as displayed; if not, the pixels as they are stored.

    Raises:
        UserError: the file cannot be read as an image.
    """
    image = open_rgb(path)
    if apply_exif:
        return image
    with Image.open(path) as opened:
        turned = orientation(opened)
    return image.transpose(AS_STORED[turned]) if turned in AS_STORED else image


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
        apply_exif = item.pop("apply_exif", True)
        pixels: NDArray[np.uint8] = np.asarray(read_pixels(Path(item["file_name"]), apply_exif))
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
