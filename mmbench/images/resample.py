"""Crop, resize, flip and blur as small matrices: out = rows @ image @ columns^T, one pair per image.

Batched matrix products are fast on every device, allow different parameters for every image, and
antialias, which `grid_sample` does not.
"""

from __future__ import annotations

import torch
from torch import Tensor


def apply_matrices(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Resample images (B, C, H, W) by rows (B, S, H) and columns (B, T, W) to (B, C, S, T)."""
    batch, channels, height, width = images.shape
    across = torch.bmm(images.reshape(batch, channels * height, width), columns.mT)
    across = across.view(batch, channels, height, columns.shape[1])
    return torch.matmul(rows.unsqueeze(1), across)


def resize_matrix(
    start: Tensor,
    length: Tensor,
    source: int,
    target: int,
    flipped: Tensor | None = None,
    *,
    ends: Tensor | None = None,
) -> Tensor:
    """Return matrices that cut [start, start + length) from a line and resize it to `target` pixels.

    Triangle filter, widened where the line shrinks: torchvision's antialiased bilinear `resized_crop`
    when start and length are whole numbers.

    Args:
        start, length: (B,), in pixels of the source line.
        source: pixels in the source line.
        target: pixels in the result.
        flipped: bool (B,), which lines are mirrored; None for none.
        ends: (B,), pixels that each line has; the filter then reaches beyond the crop as far as the line
            goes, as in Pillow's `resize` with a box. None: nothing from outside the crop.

    Returns:
        (B, target, source) in the precision of `length`; each row sums to 1.
    """
    device = start.device
    scale = (length / target).view(-1, 1, 1)
    place = torch.arange(target, device=device).view(1, -1, 1)
    if flipped is not None:
        place = torch.where(flipped.view(-1, 1, 1), target - 1 - place, place)
    centre = start.view(-1, 1, 1) + (place + 0.5) * scale
    pixel = torch.arange(source, device=device).view(1, 1, -1) + 0.5
    first, last = (start, start + length) if ends is None else (torch.zeros_like(ends), ends)
    inside = ((pixel > first.view(-1, 1, 1)) & (pixel < last.view(-1, 1, 1))).float()
    # In place, as these matrices are as large as the images: 1 - |distance| / scale, not below 0.
    weights = (pixel - centre).abs_().div_(scale.clamp_min(1)).neg_().add_(1).relu_().mul_(inside)
    return weights.div_(weights.sum(2, keepdim=True))


def blur_matrix(sigma: Tensor, size: int, kernel_size: int) -> Tensor:
    """Return matrices that blur a line of `size` pixels with a Gaussian, reflecting at the ends.

    Equals torchvision's `gaussian_blur` along one axis. sigma 0 gives the identity.

    Args:
        sigma: (B,), in pixels.
        kernel_size: odd, at most 2 * size - 1.

    Returns:
        float32 (B, size, size).
    """
    device = sigma.device
    half = kernel_size // 2
    steps = torch.arange(-half, half + 1, device=device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (steps / sigma.clamp_min(1e-3).unsqueeze(1)) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    target = torch.arange(size, device=device)
    source = (target.unsqueeze(1) + steps.long()).abs()
    source = torch.where(source >= size, 2 * (size - 1) - source, source)
    matrix = torch.zeros((len(sigma), size, size), device=device)
    where = source.expand(len(sigma), size, kernel_size)
    return matrix.scatter_add_(2, where, kernel.unsqueeze(1).expand(-1, size, -1))
