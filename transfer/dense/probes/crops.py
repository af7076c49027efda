"""Random training crops of images with their label maps; draws come from Python's and NumPy's generators."""

from __future__ import annotations

import random

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as colours

from mmbench.data.images.file_crops import generator_of
from mmbench.data.label_maps.types import IGNORED
from mmbench.images.crop_rule import CropRule
from mmbench.images.crops import draw_crops
from mmbench.transfer.dense.common.reading import Item
from mmbench.transfer.dense.probes.linear_settings import LinearProbeSettings
from mmbench.transfer.dense.probes.scenes import LabelledScenes, labels_at, labels_of, pixels_of

TRIES = 10  # of a crop that one class fills; mmsegmentation's RandomCrop
# mmsegmentation's PhotoMetricDistortion: shift of brightness, range of factors, and of the hue's turn.
BRIGHTNESS, FACTORS, HUE = 32.0, (0.5, 1.5), 0.5


class TrainingCrops:
    """Reads an image and its label map, and returns one random crop of both.

    Args:
        size: side in pixels of the crop.
        padding: RGB of what lies beyond an image that is smaller than the crop; 0 after normalisation.
    """

    def __init__(
        self,
        scenes: LabelledScenes,
        settings: LinearProbeSettings,
        size: int,
        padding: tuple[int, int, int],
    ) -> None:
        self.scenes, self.settings, self.size, self.padding = scenes, settings, size, padding

    def __call__(self, index: int) -> Item:
        """Return "image" uint8 (3, S, S) and "labels" uint8 (S, S), or of the scored size where there is one.

        Raises:
            UserError: the image or its label map cannot be read.
        """
        image, labels = self.scenes.image(index), self.scenes.labels(index)
        if self.settings.augmentation == "resized-crop":
            image, labels = self._resized(image, labels)
        else:
            image, labels = self._scaled(image, labels)
        if random.random() < 0.5:
            image, labels = (each.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for each in (image, labels))
        pixels, scored = pixels_of(image), self.settings.scored_size
        return {"image": pixels, "labels": labels_of(labels) if scored is None else labels_at(labels, scored)}

    def _resized(self, image: Image.Image, labels: Image.Image) -> tuple[Image.Image, Image.Image]:
        generator = generator_of(random.getrandbits(62))
        crops = draw_crops(1, image.size[::-1], CropRule(self.settings.crop_scale), generator)
        top, left, height, width = (int(value) for value in crops)
        box, size = (left, top, left + width, top + height), (self.size, self.size)
        return (
            image.crop(box).resize(size, Image.Resampling.BILINEAR),
            labels.crop(box).resize(size, Image.Resampling.NEAREST),
        )

    def _scaled(self, image: Image.Image, labels: Image.Image) -> tuple[Image.Image, Image.Image]:
        settings, size = self.settings, self.size
        short = max(1, int(size * random.uniform(*settings.scale_range)))
        scale = short / min(image.size)
        width, height = (max(1, int(side * scale + 0.5)) for side in image.size)
        labels = labels.resize((width, height), Image.Resampling.NEAREST)
        for _ in range(TRIES + 1):
            left, top = random.randint(0, max(0, width - size)), random.randint(0, max(0, height - size))
            box = (left, top, min(width, left + size), min(height, top + size))
            cut = labels.crop(box)
            if settings.largest_share == 1 or _mixed(cut, settings.largest_share):
                break
        whole = image.resize((width, height), Image.Resampling.BILINEAR)
        found = whole.crop(box)
        if settings.colour_jitter:
            found = jittered(found)
        padded, ignored = Image.new("RGB", (size, size), self.padding), Image.new("L", (size, size), IGNORED)
        padded.paste(found)
        ignored.paste(cut)
        return padded, ignored


def _mixed(labels: Image.Image, largest: float) -> bool:
    """Return whether several classes are in a label map, and the largest fills less than a share of it."""
    counts = np.bincount(np.asarray(labels).reshape(-1), minlength=IGNORED + 1)[:IGNORED]
    return int((counts > 0).sum()) > 1 and float(counts.max() / counts.sum()) < largest


def jittered(image: Image.Image) -> Image.Image:
    """Return an image with changed brightness, contrast, saturation and hue, each half of the time."""
    pixels = pixels_of(image)
    contrast_first = random.random() < 0.5
    if random.random() < 0.5:
        pixels = _linear(pixels, 1.0, random.uniform(-BRIGHTNESS, BRIGHTNESS))
    if contrast_first and random.random() < 0.5:
        pixels = _linear(pixels, random.uniform(*FACTORS), 0.0)
    if random.random() < 0.5:
        pixels = colours.adjust_saturation(pixels, random.uniform(*FACTORS))
    if random.random() < 0.5:
        pixels = colours.adjust_hue(pixels, random.uniform(-HUE, HUE))
    if not contrast_first and random.random() < 0.5:
        pixels = _linear(pixels, random.uniform(*FACTORS), 0.0)
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def _linear(pixels: Tensor, factor: float, shift: float) -> Tensor:
    return (pixels.float() * factor + shift).clamp(0, 255).to(torch.uint8)
