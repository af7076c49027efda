"""MoCo v2's augmentation, batched on tensors: every image has its own parameters.

Source: MoCo v2 (arXiv 2003.04297), section 2, with its code's numbers: crop, colour jitter .4/.4/.4/.1 with
p .8, grayscale p .2, Gaussian blur sigma .1-2 with p .5, horizontal flip, normalise. Differences: the four
jitter operations come in one order per batch (on the CPU: per 64 images; torchvision: per image); the
blur's kernel is scaled with the image (3 at 32 px), its sigma is not.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from mmbench.checkpoints.card import Preprocessing
from mmbench.crops import Crops, draw_crops, resized_crops
from mmbench.pretrain import colour
from mmbench.pretrain.mask_generators import uniform
from mmbench.pretrain.section_settings import AugmentationSettings
from mmbench.resample import apply_matrices, blur_matrix

CPU_CHUNK = 64  # images on a CPU that share an order of the jitter's operations; drawn for them at a time


def blur_kernel_size(image_size: int) -> int:
    """Return an odd kernel of about a tenth of the image's side (as in SimCLR), at least 3 (23 at 224 px)."""
    return max(3, 2 * round((image_size / 10 - 1) / 2) + 1)


class Changes(NamedTuple):
    """What was drawn for each image of a batch (B)."""

    crops: Crops | None  # None: the images are crops
    flipped: Tensor  # bool (B,)
    factors: (
        Tensor  # (4, B): brightness, contrast, saturation less 1, and turns of the hue; 0 changes nothing
    )
    order: Tensor  # (4,): in which the four are applied
    grayscale: Tensor  # bool (B,)
    sigmas: Tensor  # (B,): of the blur, in pixels; 0 for none


class Augment:
    """Turns a uint8 batch into normalised random views.

    Args:
        settings: the numbers.
        preprocessing: mean and std to normalise with; `image_size` is the side of a view.
    """

    def __init__(
        self, settings: AugmentationSettings, preprocessing: Preprocessing, device: torch.device
    ) -> None:
        self.settings = settings
        self.size = preprocessing.image_size
        self.kernel_size = blur_kernel_size(self.size)
        self.mean = torch.tensor(preprocessing.mean, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(preprocessing.std, device=device).view(1, 3, 1, 1)

    def __call__(self, images: Tensor, generator: Generator, *, cropped: bool = False) -> Tensor:
        """Return one view of each image: uint8 (B, 3, H, W) -> float32 (B, 3, S, S), normalised.

        Args:
            cropped: the images are random crops of the right size already; nothing more is cut off.

        Raises:
            ValueError: cropped images of another size.
        """
        if cropped and images.shape[-2:] != (self.size, self.size):
            raise ValueError(f"crops of {tuple(images.shape[-2:])} px are not of {self.size} px")
        shape = (len(images), images.shape[1], self.size, self.size)
        views = torch.empty(shape, device=images.device, memory_format=torch.channels_last)
        on_cpu = images.device.type == "cpu"
        chunk = CPU_CHUNK if on_cpu else max(1, len(images))
        make = self._compiled if on_cpu else self._batched
        for part, place in zip(images.split(chunk), views.split(chunk), strict=True):
            changes = self._draw(len(part), None if cropped else part.shape[-2:], generator)
            make(part, changes, place)
        return views

    def _draw(self, batch: int, source: tuple[int, int] | None, generator: Generator) -> Changes:
        """Draw what happens to each image.

        Args:
            source: height and width of the images to crop; None if they are crops.
        """
        chosen, device = self.settings, generator.device

        def happens(probability: float) -> Tensor:
            return torch.rand(batch, generator=generator, device=device) < probability

        crops = None
        if source is not None:
            crops = draw_crops(batch, source, chosen.crop_scale, chosen.crop_aspect, generator)
        flipped, jittered = happens(chosen.flip), happens(chosen.jitter)
        strengths = (chosen.brightness, chosen.contrast, chosen.saturation, chosen.hue)
        factors = torch.stack(
            [uniform((batch,), -strength, strength, generator) * jittered for strength in strengths]
        )
        order = torch.randperm(4, generator=generator, device=device)
        grayscale, blurred = happens(chosen.grayscale), happens(chosen.blur)
        sigmas = uniform((batch,), *chosen.blur_sigma, generator) * blurred
        return Changes(crops, flipped, factors, order, grayscale, sigmas)

    def _compiled(self, images: Tensor, changes: Changes, views: Tensor) -> None:
        """Make views on a CPU, image by image."""
        from mmbench.pretrain import view_kernels  # Numba is imported where views are made, and nowhere else

        crops = torch.zeros((0, 4)) if changes.crops is None else torch.stack(tuple(changes.crops), 1)
        view_kernels.render(
            images.contiguous().numpy(),
            view_kernels.Changes(crops.int().numpy(), *(drawn.numpy() for drawn in changes[1:])),
            changes.crops is None,
            torch.stack([self.mean.flatten(), self.std.flatten()]).numpy(),
            self.kernel_size,
            views.permute(0, 2, 3, 1).numpy(),
        )

    def _batched(self, images: Tensor, changes: Changes, views: Tensor) -> None:
        """Make views by operations on the whole batch; the same as `_compiled` to rounding."""
        mirrored = changes.flipped
        if changes.crops is None:
            pixels = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images).float().div_(255)
        else:
            pixels = resized_crops(images, changes.crops, self.size, mirrored)
        adjust = (colour.adjust_brightness, colour.adjust_contrast, colour.adjust_saturation)
        for operation in changes.order.tolist():
            factor = changes.factors[operation]
            pixels = (
                adjust[operation](pixels, 1 + factor) if operation < 3 else colour.adjust_hue(pixels, factor)
            )
        pixels = colour.grayscale(pixels, changes.grayscale)
        matrix = blur_matrix(changes.sigmas, self.size, self.kernel_size)
        views.copy_(apply_matrices(pixels, matrix, matrix).sub_(self.mean).div_(self.std))
