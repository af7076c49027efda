"""Crops of images on disk: random ones, decoded no larger than needed, and the centre."""

from __future__ import annotations

import functools
import hashlib
import math

import torch
from PIL import Image
from torch import Generator, Tensor

from mmbench.data.images.box_resize import resize, resize_box
from mmbench.data.images.decoding import REDUCING_GAP, is_extreme, middle_square, resized_size
from mmbench.data.images.file_pixels import read_pixels
from mmbench.data.images.image_places import ImagePlace
from mmbench.images.crop_rule import CropRule
from mmbench.images.crops import Crops, draw_crops
from mmbench.images.preprocessing import centre_crop


def generator_of(*key: int) -> Generator:
    """Return a generator that depends on `key` alone, such as (seed, epoch, image)."""
    drawn = hashlib.blake2b("/".join(map(str, key)).encode(), digest_size=8)
    return Generator().manual_seed(int.from_bytes(drawn.digest(), "big") >> 1)


def random_crops(path: ImagePlace, into: Tensor, rule: CropRule, generator: Generator) -> None:
    """Draw random resized crops of one image, antialiased bilinear.

    Args:
        into: takes the crops, uint8 (count, 3, size, size).
        rule: what they are drawn from.

    Raises:
        UserError: the image cannot be read.
    """
    place, count, size = generator.get_state(), len(into), into.shape[-1]

    @functools.cache
    def drawn(stored: tuple[int, int]) -> Crops:
        generator.set_state(place)
        return draw_crops(count, stored[::-1], rule, generator)

    def at_least(stored: tuple[int, int]) -> tuple[int, int]:
        """Return the size at which the smallest crop still has `size` pixels a side."""
        width, height = stored
        crops = drawn(stored)
        enlarge = size / min(float(crops.height.min()), float(crops.width.min()))
        return math.ceil(width * min(1.0, enlarge)), math.ceil(height * min(1.0, enlarge))

    pixels, stored = read_pixels(path, at_least)
    (width, height), crops = stored, drawn(stored)
    tall_pixels, wide_pixels = pixels.shape[:2]
    across, down = wide_pixels / width, tall_pixels / height
    for crop, top, left, tall, wide in zip(into, *(value.tolist() for value in crops), strict=True):
        right, bottom = min(wide_pixels, (left + wide) * across), min(tall_pixels, (top + tall) * down)
        resize_box(pixels, (left * across, top * down, right, bottom), crop, around=rule.weighs_around)


def centre_crop_of(path: ImagePlace, short_side: int, into: Tensor) -> None:
    """Cut the centre out of one image whose short side was resized to `short_side`.

    Args:
        into: takes the crop, uint8 (3, size, size).

    Raises:
        UserError: the image cannot be read.
    """
    pixels = read_pixels(path).pixels
    height, width = pixels.shape[:2]
    wide, tall = resized_size(width, height, short_side)
    averaged = max(width / wide, height / tall) >= 2 * REDUCING_GAP
    if averaged or is_extreme(width, height, short_side):
        square = middle_square(Image.fromarray(pixels), short_side).copy()
    else:
        resized = pixels if min(width, height) == short_side else resize(pixels, tall, wide)
        top, left = (resized.shape[0] - short_side) // 2, (resized.shape[1] - short_side) // 2
        square = resized[top : top + short_side, left : left + short_side]
    into.copy_(centre_crop(torch.from_numpy(square).permute(2, 0, 1)[None], into.shape[-1])[0])
