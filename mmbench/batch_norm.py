"""Which images share batch-norm statistics: the process's batch, parts of it, or all processes' batches."""

from __future__ import annotations

import torch
from pydantic import BaseModel
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from mmbench.distributed import all_sum, process_count
from mmbench.errors import UserError
from mmbench.settings.types import STRICT, Count, Flag


class BatchNormSettings(BaseModel):
    """How batch norm meets the batch.

    Attributes:
        splits: parts of a process's batch that have statistics of their own. What one GPU can do instead
            of several; CIFAR's MoCo uses 8.
        synchronised: one set of statistics over all processes.
        shuffle: where more than one group has its own statistics, MoCo's key encoder sees the batch in
            another order than the query encoder, so that statistics leak nothing.
    """

    model_config = STRICT

    splits: Count = 1
    synchronised: Flag = False
    shuffle: Flag = True

    @property
    def groups(self) -> int:
        """How many groups of the global batch have statistics of their own."""
        return self.splits * (1 if self.synchronised else process_count())


class SplitBatchNorm(_BatchNorm):
    """Batch norm with statistics per part of the batch; the running ones are the mean over the parts.

    Source: the split batch norm of MoCo's CIFAR demo. Parameters and buffers have the names of an ordinary
    batch norm; in evaluation it is one.

    Attributes:
        splits: consecutive parts of a batch, which must be a multiple of it.
    """

    splits: int = 1

    def _check_input_dim(self, input: Tensor) -> None:
        """Take what BatchNorm1d and BatchNorm2d take."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C, ...)."""
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(input)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        means = self.running_mean.repeat(self.splits, 1)
        variances = self.running_var.repeat(self.splits, 1)
        parts = [
            F.batch_norm(part, mean, variance, self.weight, self.bias, True, self.momentum or 0.1, self.eps)
            for part, mean, variance in zip(input.chunk(self.splits), means, variances, strict=True)
        ]
        self.running_mean.copy_(means.mean(0))
        self.running_var.copy_(variances.mean(0))
        return torch.cat(parts)


class SynchronisedBatchNorm(_BatchNorm):
    """Batch norm over all processes' batches on any device; torch's own works on GPUs alone."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Take what BatchNorm1d and BatchNorm2d take."""

    def count(self, values: Tensor) -> int | Tensor:
        """Return how many values per channel all processes have, whose batches are equal in size."""
        return values.numel() // values.shape[1] * process_count()

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (N, C, ...)."""
        if not self.training or process_count() == 1:
            return super().forward(input)
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        dims = [0, *range(2, input.dim())]
        count = self.count(values)
        shape = (1, -1) + (1,) * (input.dim() - 2)
        mean = all_sum(values.sum(dims)) / count
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


def arrange_batch_norm(model: nn.Module, settings: BatchNormSettings, device: torch.device) -> nn.Module:
    """Return `model` with its batch norms as the settings say; the names in its state do not change.

    Raises:
        UserError: splits and synchronised exclude each other.
    """
    if settings.synchronised and settings.splits > 1:
        raise UserError("batch_norm.synchronised and batch_norm.splits exclude each other; choose one")
    if settings.splits > 1:
        _replace(model, SplitBatchNorm)
        for module in model.modules():
            if isinstance(module, SplitBatchNorm):
                module.splits = settings.splits
    elif settings.synchronised and process_count() > 1:
        if device.type == "cuda":
            converted: nn.Module = convert_sync_batchnorm(model)
            return converted
        _replace(model, SynchronisedBatchNorm)
    return model


def _replace(model: nn.Module, kind: type[_BatchNorm]) -> None:
    """Replace every batch norm by a `kind` with its parameters, buffers and mode.

    Raises:
        UserError: a batch norm of another kind.
    """
    for name, child in model.named_children():
        if not isinstance(child, _BatchNorm):
            _replace(child, kind)
            continue
        if type(child) not in (nn.BatchNorm1d, nn.BatchNorm2d):
            raise UserError(
                f"the batch norms of this architecture ({type(child).__name__}) cannot be split or "
                "synchronised here; use batch_norm.splits=1 and batch_norm.synchronised=false"
            )
        fresh = kind(child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats)
        if child.running_mean is not None:
            fresh.to(child.running_mean)  # its device and precision
        fresh.load_state_dict(child.state_dict())
        for own, other in zip(fresh.parameters(), child.parameters(), strict=True):
            own.requires_grad_(other.requires_grad)
        fresh.train(child.training)
        setattr(model, name, fresh)
