"""MoCo v2's augmentation, batched on tensors: every image has its own parameters.

Source: MoCo v2 (arXiv 2003.04297), section 2, with its code's numbers: crop, colour jitter .4/.4/.4/.1 with
p .8, grayscale p .2, Gaussian blur sigma .1-2 with p .5, horizontal flip, normalise. Differences: the four
jitter operations come in one order per batch (on the CPU: per 64 images; torchvision: per image); the
blur's kernel is scaled with the image (3 at 32 px), its sigma is not.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from mmbench.checkpoints.card import Preprocessing
from mmbench.crops import Crops, draw_crops, resized_crops
from mmbench.pretrain import colour
from mmbench.pretrain.mask_generators import uniform
from mmbench.pretrain.section_settings import AugmentationSettings
from mmbench.resample import apply_matrices, blur_matrix

CPU_CHUNK = 64  # images at a time that stay in a core's cache: a third faster than 256


def blur_kernel_size(image_size: int) -> int:
    """Return an odd kernel of about a tenth of the image's side (as in SimCLR), at least 3 (23 at 224 px)."""
    return max(3, 2 * round((image_size / 10 - 1) / 2) + 1)


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
        self.mean = torch.tensor(preprocessing.mean, device=device).view(1, 3, 1, 1)
        self.std = torch.tensor(preprocessing.std, device=device).view(1, 3, 1, 1)

    def __call__(self, images: Tensor, generator: Generator, *, cropped: bool = False) -> Tensor:
        """Return one view of each image: uint8 (B, 3, H, W) -> float32 (B, 3, S, S), normalised.

        Args:
            cropped: the images are random crops of the right size already; nothing more is cut off.
        """
        shape = (len(images), images.shape[1], self.size, self.size)
        views = torch.empty(shape, device=images.device, memory_format=torch.channels_last)
        chunk = CPU_CHUNK if images.device.type == "cpu" else max(1, len(images))
        for part, place in zip(images.split(chunk), views.split(chunk), strict=True):
            place.copy_(self._chunk(part, generator, cropped))
        return views

    def _chunk(self, images: Tensor, generator: Generator, cropped: bool) -> Tensor:
        """Return the views of images that are worked on at a time."""
        batch, device = len(images), generator.device
        if cropped:
            flipped = torch.rand(batch, generator=generator, device=device) < self.settings.flip
            views = torch.where(flipped.view(-1, 1, 1, 1), images.flip(3), images).float().div_(255)
        else:
            source = (images.shape[-2], images.shape[-1])
            scale, aspect = self.settings.crop_scale, self.settings.crop_aspect
            views = self.crop_and_flip(images, draw_crops(batch, source, scale, aspect, generator), generator)
        views = self.jitter(views, generator)
        chosen = torch.rand(batch, generator=generator, device=device) < self.settings.grayscale
        views = colour.grayscale(views, chosen)
        views = self.blur(views, generator)
        return views.sub_(self.mean).div_(self.std)

    def crop_and_flip(self, images: Tensor, crops: Crops, generator: Generator) -> Tensor:
        """Cut, resize and flip: uint8 (B, 3, H, W) -> float (B, 3, S, S) in [0, 1]."""
        flipped = torch.rand(len(images), generator=generator, device=generator.device) < self.settings.flip
        return resized_crops(images, crops, self.size, flipped)

    def jitter(self, images: Tensor, generator: Generator) -> Tensor:
        """Change brightness, contrast, saturation and hue of most images."""
        chosen = self.settings
        batch = len(images)
        applied = torch.rand(batch, generator=generator, device=generator.device) < chosen.jitter
        strengths = (chosen.brightness, chosen.contrast, chosen.saturation, chosen.hue)
        factors = [uniform((batch,), -strength, strength, generator) * applied for strength in strengths]
        order = torch.randperm(4, generator=generator, device=generator.device).tolist()
        for operation in order:
            if operation == 0:
                images = colour.adjust_brightness(images, 1 + factors[0])
            elif operation == 1:
                images = colour.adjust_contrast(images, 1 + factors[1])
            elif operation == 2:
                images = colour.adjust_saturation(images, 1 + factors[2])
            else:
                images = colour.adjust_hue(images, factors[3])
        return images

    def blur(self, images: Tensor, generator: Generator) -> Tensor:
        """Blur some images in place; sigma 0 leaves an image as it is."""
        batch = len(images)
        applied = torch.rand(batch, generator=generator, device=generator.device) < self.settings.blur
        sigma = uniform((batch,), *self.settings.blur_sigma, generator) * applied
        if images.device.type != "cpu":  # where to find the blurred ones is not worth a wait for the GPU
            matrix = blur_matrix(sigma, self.size, blur_kernel_size(self.size))
            return apply_matrices(images, matrix, matrix)
        blurred = applied.nonzero().flatten()
        matrix = blur_matrix(sigma[blurred], self.size, blur_kernel_size(self.size))
        return images.index_copy_(0, blurred, apply_matrices(images[blurred], matrix, matrix))
