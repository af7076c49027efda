"""Labels of patches, and which patches of an image a memory keeps.

A patch is the square of pixels behind one position of a feature map.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from mmbench.data.label_maps.types import IGNORED


def label_counts(labels: Tensor, grid: tuple[int, int], classes: int) -> Tensor:
    """Return how many pixels of each class the patches of an image have, int32 (h * w, classes).

    Ignored pixels count for no class. A label map that the grid does not divide is first enlarged to the next
    size that it divides, by torch's mode "nearest".

    Args:
        labels: uint8 (H, W).
        grid: (h, w) of the feature map.
    """
    rows, columns = grid
    height, width = (-(-side // cells) for side, cells in zip(labels.shape, grid, strict=True))
    if labels.shape != (rows * height, columns * width):
        full = labels[None, None].float()
        labels = F.interpolate(full, size=(rows * height, columns * width), mode="nearest")[0, 0]
    values = labels.long()
    values = torch.where(values == IGNORED, classes, values)
    squares = values.reshape(rows, height, columns, width).transpose(1, 2).reshape(rows * columns, -1)
    offsets = torch.arange(rows * columns).unsqueeze(1) * (classes + 1)
    counts = torch.bincount((squares + offsets).reshape(-1), minlength=rows * columns * (classes + 1))
    return counts.reshape(rows * columns, classes + 1)[:, :classes].to(torch.int32)


def patch_scores(counts: Tensor) -> Tensor:
    """Return a score (P,) for each patch of an image: low where its classes are in few patches.

    It is the sum, over the classes in the patch, of the number of patches with that class.

    Source: Balazevic et al. 2023; vpariza/open-hummingbird-eval@5e79da2.

    Args:
        counts: (P, classes), pixels.
    """
    present = (counts > 0).double()
    return present @ present.sum(dim=0)


def kept_patches(counts: Tensor, most: int, generator: Generator) -> Tensor:
    """Return the rising indices of the patches of an image that the memory keeps.

    Each patch's score is multiplied by a number drawn uniformly from [0, 1); those with the lowest products
    are kept. Patches without a labelled pixel never are.

    Args:
        counts: (P, classes), pixels.
        most: how many are kept, where there are as many.
    """
    candidates = counts.sum(dim=1).nonzero().squeeze(1)
    noise = torch.rand(len(candidates), generator=generator, dtype=torch.float64)
    order = (patch_scores(counts)[candidates] * noise).argsort(stable=True)
    return candidates[order[:most]].sort().values
