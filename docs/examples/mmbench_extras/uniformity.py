"""Framework `uniformity`: alignment of two views plus uniformity on the sphere.

Source: Wang and Isola 2020 (arXiv 2005.10242), equations for alignment (alpha 2) and uniformity (t 2).
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from mmbench.pretrain.framework import FRAMEWORKS, Compare, Framework, FrameworkSettings
from mmbench.pretrain.heads import mlp, unit
from mmbench.settings.types import Width


class UniformitySettings(FrameworkSettings):
    """Settings of the head.

    Attributes:
        dim: length of an embedding.
    """

    dim: Width = 64


@FRAMEWORKS.register("uniformity")
class Uniformity(Framework):
    """One encoder for both views; both take a gradient."""

    Settings: ClassVar[type[FrameworkSettings]] = UniformitySettings

    def __init__(self, backbone: nn.Module, settings: FrameworkSettings) -> None:
        super().__init__(backbone, settings)
        self.backbone = backbone
        width = cast(int, backbone.num_features)
        self.head = mlp(width, width, cast(UniformitySettings, settings).dim)

    def predict(self, images: Tensor) -> Tensor:
        """Return unit embeddings (B, dim) of query views (B, 3, H, W)."""
        return unit(self.head(self.backbone(images)), self.backbone)

    def targets(self, images: Tensor, order: Tensor | None = None) -> Tensor:
        """Return unit embeddings (B, dim) of key views (B, 3, H, W)."""
        return self.predict(images)

    def compare(self, predictions: Tensor, targets: Tensor) -> Compare:
        """Return the loss per sample of predictions (B, D) against targets (B, D)."""
        uniformity = (_uniformity(predictions) + _uniformity(targets)) / 2

        def against(partner: Tensor | None) -> Tensor:
            keys = targets if partner is None else targets[partner]
            return (predictions - keys).square().sum(1) + uniformity

        return against


def _uniformity(embeddings: Tensor) -> Tensor:
    distances = 2 - 2 * embeddings @ embeddings.T  # squared, of unit vectors
    pairs = torch.triu_indices(len(embeddings), len(embeddings), offset=1, device=embeddings.device)
    return distances[pairs[0], pairs[1]].mul(-2).exp().mean().log()
