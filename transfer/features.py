"""Frozen features: images through a backbone in evaluation mode, once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.preprocessing import Preprocess, centre_crop

BATCH = 250


def is_pixels(backbone: Backbone) -> bool:
    """Return whether this is the control whose features are the pixels themselves."""
    return backbone.card.source_format == "pixels"


class Prepared(nn.Module):
    """A network behind its own preprocessing: images (N, 3, S, S) in, its output out."""

    def __init__(self, backbone: Backbone, network: nn.Module) -> None:
        super().__init__()
        self.prepare = Preprocess(backbone.card.preprocessing)
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's output for images as they are stored."""
        prepared = self.prepare(images).contiguous(memory_format=torch.channels_last)
        output: Tensor = self.network(prepared)
        return output


@torch.inference_mode()
def extract(backbone: Backbone, images: Tensor, device: torch.device) -> Tensor:
    """Return pooled features (N, C) float32 on the CPU, of uint8 images (N, 3, H, W).

    Images are centre-cropped to the size that the card names, normalised, and high-passed if the card
    asks for it. For the pixels control the features are the prepared pixels, flattened.
    """
    network: nn.Module = nn.Flatten() if is_pixels(backbone) else backbone.build()
    model = Prepared(backbone, network).to(device, memory_format=torch.channels_last).eval()
    size = backbone.card.preprocessing.image_size
    batches = [
        model(centre_crop(batch, size).to(device)).flatten(1).float().cpu()
        for batch in torch.split(images, BATCH)
    ]
    return torch.cat(batches)
