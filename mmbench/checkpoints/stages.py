"""Feature maps after every stage of a timm network, for comparison with other libraries."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.inference_mode()
def timm_stages(model: nn.Module, images: Tensor) -> list[Tensor]:
    """Return the maps of all stages of a timm model, shallow to deep, stem included.

    Uses timm's `forward_intermediates`; a stage that is an identity gives no map of its own.
    """
    _, maps = model.forward_intermediates(images)  # type: ignore[operator]
    count = len(model.feature_info)  # type: ignore[arg-type]
    return list(maps)[:count]
