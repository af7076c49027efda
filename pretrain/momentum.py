"""The momentum encoder's step, which MoCo and BYOL share."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def follow(followers: list[nn.Module], leaders: list[nn.Module], momentum: float) -> None:
    """Move parameters by exponential moving average: f <- m f + (1 - m) l; buffers stay as they are."""
    behind: list[Tensor] = [parameter for module in followers for parameter in module.parameters()]
    ahead: list[Tensor] = [parameter for module in leaders for parameter in module.parameters()]
    torch._foreach_lerp_(behind, ahead, 1 - momentum)
