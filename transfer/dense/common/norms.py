"""Batch norm over the images of all processes, on any device."""

from __future__ import annotations

import torch
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn

from mmbench.batch_norm import SynchronisedBatchNorm
from mmbench.distributed import all_sum, process_count
from mmbench.errors import UserError


class AnyDeviceSyncBatchNorm(SynchronisedBatchNorm, nn.BatchNorm2d):
    """Batch norm over all processes' inputs, whose sizes may differ; some may be empty.

    It is a BatchNorm2d by type, so that libraries take it for a norm: Detectron2 and fvcore leave it out of
    weight decay, and PreciseBN finds it.
    """

    def count(self, values: Tensor) -> Tensor:
        """Return how many values per channel all processes have, of shape (1,)."""
        return all_sum(values.new_full((1,), values.numel() // values.shape[1])).detach()


def synchronise(module: nn.Module) -> nn.Module:
    """Return a network whose batch norms are synchronised where there are several processes."""
    if process_count() == 1:
        return module
    converted: nn.Module = convert_sync_batchnorm(module)
    return converted


def fit_device(model: nn.Module, device: torch.device, advice: str) -> None:
    """Replace torch's SyncBatchNorm, in place, where the device is not a GPU.

    Args:
        advice: what to do about norms that cannot be replaced.

    Raises:
        UserError: a SyncBatchNorm that holds an activation too.
    """
    if device.type == "cuda":
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if not isinstance(child, nn.SyncBatchNorm):
                continue
            if type(child) is not nn.SyncBatchNorm:
                raise UserError(
                    f"the batch norms of this architecture cannot be synchronised without GPUs; {advice}"
                )
            fresh = AnyDeviceSyncBatchNorm(
                child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
            )
            fresh.load_state_dict(child.state_dict())
            for own, other in zip(fresh.parameters(), child.parameters(), strict=True):
                own.requires_grad_(other.requires_grad)
            setattr(parent, name, fresh)
