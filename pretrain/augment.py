"""MoCo v2's augmentation of a batch: every image has its own parameters.

Source: MoCo v2 (arXiv 2003.04297), section 2, with its code's numbers: crop, colour jitter .4/.4/.4/.1 with
p .8, grayscale p .2, Gaussian blur sigma .1-2 with p .5, horizontal flip, normalise. Differences: the four
jitter operations come in one order per batch (on the CPU: per 64 images; torchvision: per image); the
blur's kernel is scaled with the image (3 at 32 px), its sigma is not.

On a CPU compiled kernels make one view at a time; elsewhere operations change the whole batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from mmbench.checkpoints.card import Preprocessing
from mmbench.images.crops import Crops, draw_crops, flipped_images, resized_crops
from mmbench.images.resample import apply_matrices, blur_matrix
from mmbench.pretrain import colour
from mmbench.pretrain.mask_generators import uniform
from mmbench.pretrain.section_settings import AugmentationSettings

CPU_CHUNK = 64  # images on a CPU that share an order of the jitter's operations; drawn for them at a time


def blur_kernel_size(image_size: int) -> int:
    """Return an odd kernel of about a tenth of the image's side (as in SimCLR), at least 3 (23 at 224 px)."""
    return max(3, 2 * round((image_size / 10 - 1) / 2) + 1)


class Changes(NamedTuple):
    """What was drawn for each image of a batch (B), besides its crop."""

    factors: Tensor  # (B, 4): brightness, contrast, saturation less 1, and turns of the hue; 0 for no change
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
            ValueError: images without three channels, or crops of another size.
        """
        channels, *sides = images.shape[1:]
        if channels != 3:
            raise ValueError(f"images of {channels} channels have no colours to change")
        if cropped and sides != [self.size, self.size]:
            raise ValueError(f"crops of {sides[0]} x {sides[1]} px are not of {self.size} px")
        shape = (len(images), images.shape[1], self.size, self.size)
        views = torch.empty(shape, device=images.device, memory_format=torch.channels_last)
        on_cpu = images.device.type == "cpu"
        chunk = CPU_CHUNK if on_cpu else max(1, len(images))
        change = self._change_one_by_one if on_cpu else self._change_batch
        for part, place in zip(images.split(chunk), views.split(chunk), strict=True):
            crops, flipped, changes = self._draw(len(part), None if cropped else part.shape[-2:], generator)
            if crops is None:
                pixels = flipped_images(part, flipped)
            else:
                pixels = resized_crops(part, crops, self.size, flipped)
            change(pixels, changes, place)
        return views

    def _draw(
        self, batch: int, source: tuple[int, int] | None, generator: Generator
    ) -> tuple[Crops | None, Tensor, Changes]:
        """Draw what happens to each image.

        Args:
            source: height and width of the images to crop; None if they are crops.

        Returns:
            The crops, which images are flipped (B,), and the changes.
        """
        chosen, device = self.settings, generator.device

        def happens(probability: float) -> Tensor:
            return torch.rand(batch, generator=generator, device=device) < probability

        crops = None
        if source is not None:
            crops = draw_crops(batch, source, chosen.crop_rule(), generator)
        flipped, jittered = happens(chosen.flip), happens(chosen.jitter)
        strengths = (chosen.brightness, chosen.contrast, chosen.saturation, chosen.hue)
        factors = [uniform((batch,), -strength, strength, generator) * jittered for strength in strengths]
        order = torch.randperm(4, generator=generator, device=device)
        grayscale, blurred = happens(chosen.grayscale), happens(chosen.blur)
        sigmas = uniform((batch,), *chosen.blur_sigma, generator) * blurred
        return crops, flipped, Changes(torch.stack(factors, 1), order, grayscale, sigmas)

    def _change_one_by_one(self, pixels: Tensor, changes: Changes, views: Tensor) -> None:
        """Make views of crops in [0, 1] on a CPU."""
        from mmbench import compiled  # Numba is imported where views are made, and nowhere else
        from mmbench.pretrain import view_kernels

        factors, order, grayscale, sigmas = (drawn.numpy() for drawn in changes)
        normalisation = torch.stack([self.mean.flatten(), self.std.flatten()]).numpy()
        crops, made = pixels.numpy(), views.permute(0, 2, 3, 1).numpy()

        def change(own: slice) -> None:
            drawn = factors[own], order, grayscale[own], sigmas[own]
            view_kernels.change(crops[own], *drawn, normalisation, self.kernel_size, made[own])

        compiled.over_threads(change, len(made), made.size)

    def _change_batch(self, pixels: Tensor, changes: Changes, views: Tensor) -> None:
        """Make views by operations on the whole batch; the same as one by one, to rounding."""
        adjust = (colour.adjust_brightness, colour.adjust_contrast, colour.adjust_saturation)
        for operation in changes.order.tolist():
            factor = changes.factors[:, operation]
            if operation < len(adjust):
                pixels = adjust[operation](pixels, 1 + factor)
            else:
                pixels = colour.adjust_hue(pixels, factor)
        pixels = colour.grayscale(pixels, changes.grayscale)
        matrix = blur_matrix(changes.sigmas, self.size, self.kernel_size)
        views.copy_(apply_matrices(pixels, matrix, matrix).sub_(self.mean).div_(self.std))
