"""The images of a split and their label maps, as a probe is fed and scored."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmbench.data.annotated.types import AnnotatedSplit
from mmbench.data.images.decoding import open_rgb
from mmbench.data.label_maps.pixels import read_labels
from mmbench.data.label_maps.types import Coding
from mmbench.transfer.dense.common.reading import Item
from mmbench.transfer.dense.probes.settings import TestMode


class Geometry(NamedTuple):
    """How images are fed without augmentation.

    Attributes:
        mode: see `DenseProbeSettings.test_mode`.
        size: side in pixels; of "whole" it is not used.
        stride: step between windows in pixels.
        multiple: sides of whole images are resized to multiples of it.
    """

    mode: TestMode
    size: int = 0
    stride: int = 0
    multiple: int = 1

    def fed(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) in pixels of an image when it is fed, before windows are cut."""
        if self.mode == "squash":
            return self.size, self.size
        short = min(width, height)
        if self.mode == "slide":
            return max(self.size, round(width * self.size / short)), max(
                self.size, round(height * self.size / short)
            )
        return self._fitted(width), self._fitted(height)

    def _fitted(self, side: int) -> int:
        """Return the nearest multiple that the network takes."""
        return max(1, round(side / self.multiple)) * self.multiple


class LabelledScenes:
    """The images of a split, and their label maps."""

    def __init__(self, split: AnnotatedSplit, coding: Coding) -> None:
        self.split, self.coding = split, coding

    def __len__(self) -> int:
        return len(self.split.images)

    def name(self, index: int) -> str:
        """Return the path of an image, below the root."""
        return self.split.images[index].path

    def image(self, index: int) -> Image.Image:
        """Return an image as RGB in the frame of its label map.

        Raises:
            UserError: it cannot be read.
        """
        found = self.split.images[index]
        return open_rgb(self.split.root / found.path, apply_exif=found.apply_exif)

    def labels(self, index: int) -> Image.Image:
        """Return the label map of an image, one label per pixel.

        Raises:
            UserError: it cannot be read.
        """
        path = self.split.images[index].label_map
        assert path is not None  # checked when the splits were read
        return Image.fromarray(read_labels(self.split.root / path, self.coding))


class TestScenes:
    """Images as they are fed without augmentation, with labels as they are scored.

    Args:
        scored_size: side in pixels of the scored label maps; None keeps theirs.
        with_images: whether images are read too; feature maps of a bank need none.
    """

    __test__ = False  # not a test, whatever its name

    def __init__(
        self,
        scenes: LabelledScenes,
        geometry: Geometry,
        scored_size: int | None = None,
        *,
        with_images: bool = True,
    ) -> None:
        self.scenes, self.geometry, self.scored_size = scenes, geometry, scored_size
        self.with_images = with_images

    def __call__(self, index: int) -> Item:
        """Return "index", "image" uint8 (3, H, W) and "labels" uint8 (h, w).

        Raises:
            UserError: the image or its label map cannot be read.
        """
        item: Item = {"index": index, "labels": self.labels(index)}
        if self.with_images:
            item["image"] = self.image(index)
        return item

    def image(self, index: int) -> Tensor:
        """Return an image as it is fed, uint8 (3, H, W)."""
        image = self.scenes.image(index)
        return pixels_of(image.resize(self.geometry.fed(*image.size), Image.Resampling.BILINEAR))

    def labels(self, index: int) -> Tensor:
        """Return the label map as it is scored, uint8 (h, w).

        A squashed image's labels are squashed with it first, as Leopart does.
        """
        labels, size = self.scenes.labels(index), self.scored_size
        if size is not None:
            if self.geometry.mode == "squash":
                labels = labels.resize((self.geometry.size,) * 2, Image.Resampling.NEAREST)
            return labels_at(labels, size)
        return labels_of(labels)

    def sizes(self) -> list[tuple[int, int]]:
        """Return the (height, width) at which each image is fed."""
        images = self.scenes.split.images
        return [self.geometry.fed(image.width, image.height)[::-1] for image in images]

    def equal_sizes(self) -> tuple[int, int] | None:
        """Return the (height, width) at which all images are fed, None where they differ."""
        sizes = set(self.sizes())
        return sizes.pop() if len(sizes) == 1 else None

    def fingerprint(self) -> str:
        """Return the identity of the pixels that are fed: contents, frames and geometry."""
        split = self.scenes.split
        frames = "".join("01"[image.apply_exif] for image in split.images)
        facts = f"{split.fingerprint()} {frames} {tuple(self.geometry)}"
        return hashlib.sha256(facts.encode()).hexdigest()


def pixels_of(image: Image.Image) -> Tensor:
    """Return an RGB image as uint8 (3, H, W)."""
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)


def labels_of(labels: Image.Image) -> Tensor:
    """Return a label map as uint8 (H, W)."""
    return torch.from_numpy(np.asarray(labels).copy())


def labels_at(labels: Image.Image, side: int) -> Tensor:
    """Return a label map as uint8 (side, side), by torch's mode "nearest"."""
    full = labels_of(labels)[None, None].float()
    return torch.nn.functional.interpolate(full, size=(side, side), mode="nearest")[0, 0].to(torch.uint8)


def windows(length: int, size: int, stride: int) -> Sequence[int]:
    """Return where windows of `size` pixels start that cover `length` pixels; the last ends at its end."""
    steps = max(0, -(-(length - size) // stride))
    return [min(step * stride, length - size) for step in range(steps + 1)]
