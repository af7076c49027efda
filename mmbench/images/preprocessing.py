"""From stored uint8 images to the input of a backbone: scale, normalise, and high-pass if needed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmbench.checkpoints.card import HighPass, Preprocessing

# Chin et al. (arXiv 2309.12757): kernel 11 and sigma 5 for 224 px images.
REFERENCE_SIZE, REFERENCE_KERNEL, REFERENCE_SIGMA = 224, 11, 5.0


def high_pass_for(image_size: int) -> HighPass:
    """Return the MSCN high-pass filter of images of `image_size` px: the 224 px filter, scaled.

    The kernel is rounded to the nearest odd number, at least 3; images above 224 px keep the reference.
    """
    scale = min(1.0, image_size / REFERENCE_SIZE)
    kernel_size = max(3, 2 * round((REFERENCE_KERNEL * scale - 1) / 2) + 1)
    return HighPass(kernel_size=kernel_size, sigma=REFERENCE_SIGMA * scale)


def high_pass(images: Tensor, filter_: HighPass) -> Tensor:
    """Return x - GaussianBlur(x) for float images of shape (..., C, H, W)."""
    from torchvision.transforms.v2 import functional as transforms

    kernel = [filter_.kernel_size, filter_.kernel_size]
    blurred: Tensor = transforms.gaussian_blur(images, kernel, [filter_.sigma, filter_.sigma])
    return images - blurred


class Preprocess(nn.Module):
    """uint8 (or float in [0, 1]) RGB images (N, 3, H, W) -> float32 input of the backbone, same shape."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.register_buffer("mean", torch.tensor(preprocessing.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(preprocessing.std).view(3, 1, 1), persistent=False)

    mean: Tensor
    std: Tensor

    def forward(self, images: Tensor) -> Tensor:
        """Scale to [0, 1] if the images are uint8, normalise, then high-pass if the card asks for it."""
        if images.dtype == torch.uint8:
            images = images.float().div_(255)
        images = (images - self.mean) / self.std
        if self.preprocessing.high_pass is not None:
            images = high_pass(images, self.preprocessing.high_pass)
        return images


def centre_crop(images: Tensor, size: int) -> Tensor:
    """Return the central size x size pixels of images (N, C, H, W); smaller images are resized up."""
    height, width = images.shape[-2:]
    if min(height, width) < size:
        resized = nn.functional.interpolate(
            images.float(), size=(size, size), mode="bilinear", antialias=True
        )
        return resized.round_().clamp_(0, 255).to(images.dtype) if images.dtype == torch.uint8 else resized
    top, left = (height - size) // 2, (width - size) // 2
    return images[..., top : top + size, left : left + size]
