"""Random crops of images on disk, decoded no larger than needed."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from mmbench.crops import draw_crops
from mmbench.data.decoding import open_rgb


def generator_of(*key: int) -> Generator:
    """Return a generator that depends on `key` alone, such as (seed, epoch, image)."""
    drawn = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8)
    return Generator().manual_seed(int.from_bytes(drawn.digest(), "big") >> 1)


def random_crops(
    path: Path,
    count: int,
    size: int,
    scale: tuple[float, float],
    aspect: tuple[float, float],
    generator: Generator,
) -> Tensor:
    """Return random resized crops of one image, uint8 (count, 3, size, size), antialiased bilinear.

    Args:
        count: crops of this image.
        size: side of a crop in pixels.
        scale, aspect: see `draw_crops`.

    Raises:
        UserError: the image cannot be read.
    """
    place, sizes = generator.get_state(), []

    def at_least(stored: tuple[int, int]) -> tuple[int, int]:
        """Return the size at which the smallest crop still has `size` pixels a side."""
        width, height = stored
        crops = draw_crops(count, (height, width), scale, aspect, generator)
        generator.set_state(place)
        enlarge = size / min(float(crops.height.min()), float(crops.width.min()))
        sizes.append(stored)
        return math.ceil(width * min(1.0, enlarge)), math.ceil(height * min(1.0, enlarge))

    image = open_rgb(path, at_least)
    width, height = sizes[0] if sizes else image.size  # of a JPEG, before it was decoded smaller
    crops = draw_crops(count, (height, width), scale, aspect, generator)
    across, down = image.width / width, image.height / height
    found = []
    for top, left, tall, wide in zip(*(value.tolist() for value in crops), strict=True):
        right, bottom = min(image.width, (left + wide) * across), min(image.height, (top + tall) * down)
        box = (left * across, top * down, right, bottom)
        resized = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
        found.append(torch.from_numpy(np.asarray(resized).copy()).permute(2, 0, 1))
    return torch.stack(found)
