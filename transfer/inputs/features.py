"""Frozen features: images through a backbone in evaluation mode, once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone, require_takes, tensors_digest
from mmbench.checkpoints.networks.options import departing
from mmbench.distributed import gather_shares, own_share, process_count
from mmbench.errors import UserError
from mmbench.images.preprocessing import Preprocess
from mmbench.transfer.compute import Compute
from mmbench.transfer.inputs.images import FileImages, Images

BATCH = 128
RESIZE = 2  # of image files: 1 by Pillow, 2 by torch, which differ by the rounding


def is_pixels(backbone: Backbone) -> bool:
    """Return whether this is the control whose features are the pixels themselves."""
    return backbone.card.source_format == "pixels"


def weights_digest(backbone: Backbone) -> str:
    """Return the SHA-256 of the network and of every tensor's name, shape and bytes."""
    options = departing(backbone.arch, backbone.card.arch_options)
    built = backbone.arch + (json.dumps(options, sort_keys=True) if options else "")
    return tensors_digest(built.encode(), backbone.state_dict)


class RowSource(Protocol):
    """Frozen features that a bank stores, one row per image."""

    def __len__(self) -> int:
        """Return the number of images."""

    def facts(self) -> dict[str, Any]:
        """Return what the rows depend on, as JSON holds it."""

    def prepare(self) -> int:
        """Build what computes the rows; return the numbers per row."""

    def rows(self, start: int, stop: int) -> Iterator[Tensor]:
        """Yield rows (B, numbers) float32 on the CPU of images `start` to `stop`, after `prepare`."""


class PooledFeatures:
    """The pooled features of images behind a backbone, as a bank stores them; see `pass_over`."""

    def __init__(self, backbone: Backbone, images: Images, compute: Compute) -> None:
        self.backbone, self.images, self.compute = backbone, images, compute

    def __len__(self) -> int:
        return len(self.images)

    def facts(self) -> dict[str, Any]:
        """Return weights, preprocessing, pixels and how they are computed."""
        resized = {"resize": RESIZE} if isinstance(self.images, FileImages) else {}
        return {
            **resized,
            "weights": weights_digest(self.backbone),
            "pixels": is_pixels(self.backbone),
            "preprocessing": self.backbone.card.preprocessing.model_dump(mode="json"),
            "split": self.images.fingerprint,
            "precision": self.compute.precision,
            "device": self.compute.device.type,  # the last digits differ between kinds of device
        }

    def prepare(self) -> int:
        """Build the network; return the width of its features."""
        self.network = FrozenNetwork(self.backbone, self.compute)
        return self.network.width

    def rows(self, start: int, stop: int) -> Iterator[Tensor]:
        """Yield features (B, C)."""
        yield from pass_over(self.network, self.images, start, stop)


class FrozenNetwork(nn.Module):
    """A backbone behind its own preprocessing, in evaluation mode and without gradients.

    Attributes:
        network: the timm model, which loading filled exactly: only a head was missing, and nothing was
            left over; for the pixels control, `nn.Flatten`.
        width: numbers per image.
    """

    def __init__(self, backbone: Backbone, compute: Compute) -> None:
        super().__init__()
        self.backbone, self.compute = backbone, compute
        self.prepare = Preprocess(backbone.card.preprocessing)
        self.network: nn.Module = nn.Flatten() if is_pixels(backbone) else backbone.build()
        self.to(compute.device).to(memory_format=torch.channels_last).eval().requires_grad_(False)
        size = backbone.card.preprocessing.image_size
        found = require_takes(self.network, backbone.card.arch, size, device=compute.device)
        self.width = found.flatten(1).shape[1]

    def forward(self, images: Tensor) -> Tensor:
        """Return features (N, C) float32 of images (N, 3, S, S), uint8 or float in [0, 1]."""
        prepared = self.prepare(images)
        if not is_pixels(self.backbone):
            prepared = prepared.contiguous(memory_format=torch.channels_last)
        with self.compute.autocast():
            features: Tensor = self.network(prepared)
        return features.flatten(1).float()

    def shared(self, own: Tensor, count: int) -> Tensor:
        """Return features (count, C) of a whole batch from this process's images of it, without gradient."""
        with torch.no_grad():
            found = self(own) if len(own) else torch.zeros((0, self.width), device=self.compute.device)
            return gather_shares(found, count)

    def check_frozen(self) -> None:
        """Check that weights and batch-norm buffers are bit for bit those of the checkpoint.

        Raises:
            RuntimeError: something trained or recalibrated the network: a bug, never the user's fault.
        """
        require_unchanged(self.network, self.backbone)


def require_unchanged(network: nn.Module, backbone: Backbone) -> None:
    """Check that every tensor of a network is bit for bit the checkpoint's.

    Raises:
        RuntimeError: something trained or recalibrated the network: a bug, never the user's fault.
    """
    for name, tensor in network.state_dict().items():
        if not torch.equal(tensor.cpu(), backbone.state_dict[name].cpu()):
            raise RuntimeError(f"the frozen backbone was changed: {name} is not what was loaded")


def pass_over(
    network: FrozenNetwork, images: Images, start: int, stop: int, batch: int = BATCH
) -> Iterator[Tensor]:
    """Yield features (B, C) float32 on the CPU of images `start` to `stop`, in evaluation mode.

    Images are centre-cropped to the size that the card names, normalised, and high-passed if the card asks
    for it. For the pixels control the features are the prepared pixels, flattened. Processes share each batch
    of theirs; all of them get all features. That the backbone stayed as it was is checked at the end.

    Raises:
        UserError: features that are not finite: the checkpoint is damaged; an image that cannot be read.
    """
    batches = torch.arange(start, stop).split(batch * process_count())
    crops = images.centre_crops(_own(batches))
    for indices in batches:
        own = next(crops)
        features = network.shared(own.to(network.compute.device, non_blocking=True), len(indices)).cpu()
        if not torch.isfinite(features).all():
            arm = network.backbone.card.arm
            raise UserError(
                f"the {arm} checkpoint gives features that are not finite; its weights are damaged"
                + ("" if network.compute.precision == "float32" else ", or need --precision float32")
            )
        yield features
    network.check_frozen()


def _own(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    for indices in batches:
        yield indices[own_share(len(indices))]
