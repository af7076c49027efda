"""Norms: from the names in settings to Detectron2's, and synchronised batch norm on any device."""

from __future__ import annotations

import torch
from detectron2.utils import comm
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn

from mmbench.distributed import all_sum
from mmbench.errors import UserError
from mmbench.transfer.dense.detection.settings import DetectionSettings

NAMES = {"none": "", "bn": "BN", "naive_syncbn": "naiveSyncBN", "frozen_bn": "FrozenBN", "gn": "GN"}


def norm_name(norm: str) -> str:
    """Return Detectron2's name of a norm; SyncBN in one process is batch norm."""
    if norm == "syncbn":
        return "SyncBN" if comm.get_world_size() > 1 else "BN"
    return NAMES[norm]


def norm_note(settings: DetectionSettings) -> str:
    """Return the note on which images share the statistics of the backbone's batch norm."""
    processes = comm.get_world_size()
    if settings.freeze_at == 5 or settings.backbone_norm == "frozen_bn":
        return "batch norm of the backbone: frozen, with the statistics of the checkpoint"
    if settings.backbone_norm == "bn" and processes > 1:
        return f"batch norm of the backbone: each of {processes} processes over its own images"
    if processes == 1:
        which = "BN in one process"
        if settings.backbone_norm != "bn":
            which += f" (the protocol's {settings.backbone_norm} in several)"
        return f"batch norm of the backbone: {which}"
    kind = "SyncBN" if settings.backbone_norm == "syncbn" else "Detectron2's naiveSyncBN"
    return f"batch norm of the backbone: {kind} over {processes} processes"


class AnyDeviceSyncBatchNorm(nn.BatchNorm2d):
    """Batch norm over all processes' inputs, whose sizes may differ; torch's own works on GPUs alone.

    It is a BatchNorm2d by type, so that Detectron2 and fvcore take it for a norm: weight decay leaves it
    out, and PreciseBN finds it.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Take what BatchNorm1d and BatchNorm2d take."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C, ...); N may be 0."""
        if not self.training or comm.get_world_size() == 1:
            return super().forward(input)
        values = input.float()
        dims = [0, *range(2, input.dim())]
        shape = (1, -1) + (1,) * (input.dim() - 2)
        own = values.new_full((1,), values.numel() // values.shape[1])
        total = all_sum(torch.cat([values.sum(dims), own]))
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = values - mean.view(shape)
        variance = all_sum(centred.square().sum(dims)) / count
        if self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                momentum = self.momentum or 0.1
                self.running_mean.lerp_(mean, momentum)
                self.running_var.lerp_(variance * (count / (count - 1)), momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        normalised = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(input.dtype)


def synchronise(module: nn.Module) -> nn.Module:
    """Return a timm network whose batch norms are synchronised where there are several processes."""
    if comm.get_world_size() == 1:
        return module
    converted: nn.Module = convert_sync_batchnorm(module)
    return converted


def fit_device(model: nn.Module, device: str) -> None:
    """Replace torch's SyncBatchNorm, in place, where the device is not a GPU.

    Raises:
        UserError: a SyncBatchNorm that holds an activation too.
    """
    if device.startswith("cuda"):
        return
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if not isinstance(child, nn.SyncBatchNorm):
                continue
            if type(child) is not nn.SyncBatchNorm:
                raise UserError(
                    "the batch norms of this architecture cannot be synchronised without GPUs; "
                    "use --set backbone_norm=bn, or one process"
                )
            fresh = AnyDeviceSyncBatchNorm(
                child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats
            )
            fresh.load_state_dict(child.state_dict())
            for own, other in zip(fresh.parameters(), child.parameters(), strict=True):
                own.requires_grad_(other.requires_grad)
            setattr(parent, name, fresh)
