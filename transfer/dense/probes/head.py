"""The linear classifier of positions, its loss and its schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.data.label_maps.types import IGNORED
from mmbench.distributed import process_count
from mmbench.transfer.dense.probes.linear_settings import LinearProbeSettings


def build_head(width: int, classes: int, settings: LinearProbeSettings) -> nn.Sequential:
    """Return a 1 x 1 convolution, behind batch norm and dropout where the settings have them."""
    classifier = nn.Conv2d(width, classes, 1)
    if settings.initial_deviation is not None:
        nn.init.normal_(classifier.weight, std=settings.initial_deviation)
        assert classifier.bias is not None
        nn.init.zeros_(classifier.bias)
    parts: list[nn.Module] = [nn.BatchNorm2d(width)] if settings.batch_norm else []
    if settings.dropout:
        parts.append(nn.Dropout2d(settings.dropout))
    return nn.Sequential(*parts, classifier)


def pixel_loss(scores: Tensor, labels: Tensor | Sequence[Tensor]) -> Tensor:
    """Return the cross-entropy, averaged over the pixels of all processes that are not ignored.

    Interpolation and a 1 x 1 convolution are linear, so scores are interpolated instead of features: the
    values are the same, at a fraction of the memory. Where all pixels are ignored the loss is 0.

    Args:
        scores: (N, K, h, w) at the positions of the map.
        labels: N times int64 (H, W), whose sizes may differ where images were fed at another one.
    """
    if len({one.shape for one in labels}) == 1:
        parts = [(scores, torch.stack(tuple(labels)))]
    else:
        parts = [(scores[place : place + 1], one[None]) for place, one in enumerate(labels)]
    counted = torch.stack([(one != IGNORED).sum() for _, one in parts]).sum()
    if process_count() > 1:
        torch.distributed.all_reduce(counted)
    total = torch.stack([_summed(*part) for part in parts]).sum()
    return total * process_count() / counted.clamp(min=1)  # gradients are averaged over processes


def _summed(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the summed cross-entropy of labels of one size (N, H, W)."""
    full = F.interpolate(scores, size=labels.shape[-2:], mode="bilinear", align_corners=False)
    return F.cross_entropy(full, labels, ignore_index=IGNORED, reduction="sum")


def rate_at(step: int, steps: int, per_epoch: int, settings: LinearProbeSettings) -> float:
    """Return the factor on the learning rate at a step, from 0."""
    if settings.schedule == "step":
        epoch = step // per_epoch
        return float(0.1 ** sum(epoch >= drop for drop in settings.decay_epochs))
    if settings.schedule == "one-cycle":
        warmup = settings.warmup_iterations
        if step < warmup:
            ramp = 1 - (1 - step / warmup) * (1 - settings.warmup_start)
            return ramp * (1 - step / steps)
        return (1 + math.cos(math.pi * min(1.0, (step + 1) / steps))) / 2
    return 1.0
