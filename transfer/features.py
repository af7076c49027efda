"""Frozen features: images through a backbone in evaluation mode, once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.errors import UserError
from mmbench.preprocessing import Preprocess, centre_crop

BATCH = 128


def is_pixels(backbone: Backbone) -> bool:
    """Return whether this is the control whose features are the pixels themselves."""
    return backbone.card.source_format == "pixels"


class FrozenNetwork(nn.Module):
    """A backbone behind its own preprocessing, in evaluation mode and without gradients.

    Attributes:
        network: the timm model; for the pixels control, `nn.Flatten`.
    """

    def __init__(self, backbone: Backbone, device: torch.device) -> None:
        super().__init__()
        self.backbone = backbone
        self.prepare = Preprocess(backbone.card.preprocessing)
        self.network: nn.Module = nn.Flatten() if is_pixels(backbone) else backbone.build()
        self.to(device).to(memory_format=torch.channels_last).eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (N, C) float32 of images (N, 3, S, S), uint8 or float in [0, 1]."""
        prepared = self.prepare(images)
        if not is_pixels(self.backbone):
            prepared = prepared.contiguous(memory_format=torch.channels_last)
        features: Tensor = self.network(prepared)
        return features.flatten(1).float()

    def check_frozen(self) -> None:
        """Check that weights and batch-norm buffers are bit for bit those of the checkpoint.

        Raises:
            RuntimeError: something trained or recalibrated the network: a bug, never the user's fault.
        """
        for name, tensor in self.network.state_dict().items():
            if not torch.equal(tensor.cpu(), self.backbone.state_dict[name].cpu()):
                raise RuntimeError(f"the frozen backbone was changed: {name} is not what was loaded")


def extract(backbone: Backbone, images: Tensor, device: torch.device, batch: int = BATCH) -> Tensor:
    """Return pooled features (N, C) float32 on the CPU, of uint8 images (N, 3, H, W).

    Images are centre-cropped to the size that the card names, normalised, and high-passed if the card
    asks for it. For the pixels control the features are the prepared pixels, flattened. That the backbone
    stayed as it was is checked afterwards.

    Raises:
        UserError: features that are not finite: the checkpoint is damaged.
    """
    network = FrozenNetwork(backbone, device)
    size = backbone.card.preprocessing.image_size
    with torch.inference_mode():
        parts = [network(centre_crop(part, size).to(device)).cpu() for part in torch.split(images, batch)]
    features = torch.cat(parts).clone()  # a normal tensor: inference tensors cannot enter autograd
    if not torch.isfinite(features).all():
        raise UserError(
            f"the {backbone.card.arm} checkpoint gives features that are not finite; its weights are damaged"
        )
    network.check_frozen()
    return features
