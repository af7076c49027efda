"""Norms: from the names in settings to Detectron2's, and synchronised batch norm on any device."""

from __future__ import annotations

from detectron2.utils import comm
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn

from mmbench.batch_norm import SynchronisedBatchNorm
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


class AnyDeviceSyncBatchNorm(SynchronisedBatchNorm, nn.BatchNorm2d):
    """Batch norm over all processes' inputs, whose sizes may differ; some may be empty.

    It is a BatchNorm2d by type, so that Detectron2 and fvcore take it for a norm: weight decay leaves it
    out, and PreciseBN finds it.
    """

    def count(self, values: Tensor) -> Tensor:
        """Return how many values per channel all processes have, of shape (1,)."""
        return all_sum(values.new_full((1,), values.numel() // values.shape[1])).detach()


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
