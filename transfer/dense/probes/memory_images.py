"""Training images and their label maps as a memory takes them: random crops, or fed as evaluated images."""

from __future__ import annotations

import random

import torch
from PIL import Image
from torchvision.transforms import ColorJitter, Compose, RandomApply, RandomResizedCrop

from mmbench.images.crop_rule import ASPECT
from mmbench.transfer.dense.common.reading import Item
from mmbench.transfer.dense.probes.retrieval_settings import RetrievalSettings
from mmbench.transfer.dense.probes.scenes import LabelledScenes, TestScenes, labels_of, pixels_of

CHANGED = 0.5  # probability of each change of colours


class MemoryCrops:
    """Reads an image and its label map, changes the colours of the image, and cuts one crop of both.

    torchvision draws, from a seed that comes from Python's generator.

    Args:
        size: side in pixels of the crop.
    """

    def __init__(self, scenes: LabelledScenes, settings: RetrievalSettings, size: int) -> None:
        self.scenes, self.size, self.scale = scenes, size, settings.crop_scale
        kinds = ("brightness", "contrast", "saturation", "hue") if settings.jitter else ()
        self.jitter = Compose(
            [RandomApply([ColorJitter(**{kind: settings.jitter})], p=CHANGED) for kind in kinds]
        )

    def __call__(self, index: int) -> Item:
        """Return "index", "image" uint8 (3, S, S) and "labels" uint8 (S, S).

        Raises:
            UserError: the image or its label map cannot be read.
        """
        image, labels = self.scenes.image(index), self.scenes.labels(index)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(random.getrandbits(63))
            image = self.jitter(image)
            top, left, height, width = RandomResizedCrop.get_params(image, list(self.scale), list(ASPECT))
        box, size = (left, top, left + width, top + height), (self.size, self.size)
        return {
            "index": index,
            "image": pixels_of(image.crop(box).resize(size, Image.Resampling.BILINEAR)),
            "labels": labels_of(labels.crop(box).resize(size, Image.Resampling.NEAREST)),
        }


class FedImages:
    """Reads an image as evaluated ones are fed, and its label map at the same size.

    Args:
        with_images: whether images are read too; feature maps of a bank need none.
    """

    def __init__(self, fed: TestScenes, *, with_images: bool) -> None:
        self.fed, self.with_images = fed, with_images

    def __call__(self, index: int) -> Item:
        """Return "index", "labels" uint8 (H, W), and "image" uint8 (3, H, W) where it is read.

        Raises:
            UserError: the image or its label map cannot be read.
        """
        labels = self.fed.scenes.labels(index)
        size = self.fed.geometry.fed(*labels.size)
        item: Item = {"index": index, "labels": labels_of(labels.resize(size, Image.Resampling.NEAREST))}
        if self.with_images:
            item["image"] = self.fed.image(index)
        return item
