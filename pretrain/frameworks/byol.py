"""BYOL (arXiv 2006.07733): predict the embedding of a slowly moving copy of the encoder; no negatives."""

from __future__ import annotations

import copy
import math
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from mmbench.checkpoints.backbone import feature_width
from mmbench.pretrain.framework import FRAMEWORKS, Compare, Framework, FrameworkSettings, Views
from mmbench.pretrain.heads import mlp, unit
from mmbench.pretrain.losses import negative_cosine
from mmbench.pretrain.momentum import follow
from mmbench.settings.types import Flag, Share, Width


class ByolSettings(FrameworkSettings):
    """BYOL's own numbers; defaults of the paper, section 3.2.

    Attributes:
        dim: length of an embedding.
        hidden: width of the heads' hidden layer.
        momentum: share that the target keeps of itself at the first step; it rises to 1 by a half cosine.
        symmetric: the clean views are compared in both directions, and averaged.
    """

    dim: Width = 256
    hidden: Width = 4096
    momentum: Share = 0.996
    symmetric: Flag = True


@FRAMEWORKS.register("byol")
class Byol(Framework):
    """Online encoder, projector and predictor; target encoder and projector by moving average.

    The target takes no gradient and runs on batch statistics of its own.
    """

    Settings: ClassVar[type[FrameworkSettings]] = ByolSettings
    shuffles_keys: ClassVar[bool] = False

    def __init__(self, backbone: nn.Module, settings: FrameworkSettings) -> None:
        super().__init__(backbone, settings)
        self.settings = cast(ByolSettings, settings)
        self.backbone = backbone
        features = feature_width(backbone)
        hidden, dim = self.settings.hidden, self.settings.dim
        self.projector = mlp(features, hidden, dim, batch_norm=True)
        self.predictor = mlp(dim, hidden, dim, batch_norm=True)
        self.target_backbone = copy.deepcopy(self.backbone).requires_grad_(False)
        self.target_projector = copy.deepcopy(self.projector).requires_grad_(False)

    def momentum_at(self, progress: float) -> float:
        """Return the share that the target keeps: 1 - (1 - m) (cos(pi progress) + 1) / 2."""
        return 1 - (1 - self.settings.momentum) * (math.cos(math.pi * progress) + 1) / 2

    def begin_step(self, progress: float) -> None:
        """Let the target follow."""
        targets = [self.target_backbone, self.target_projector]
        follow(targets, [self.backbone, self.projector], self.momentum_at(progress))

    @torch.no_grad()
    def targets(self, images: Tensor, order: Tensor | None = None) -> Tensor:
        """Return the target's embeddings, without gradient: (B, dim), unit length."""
        return unit(self.target_projector(self.target_backbone(images)), self.backbone)

    def predict(self, images: Tensor) -> Tensor:
        """Return the online predictions: (B, dim), unit length."""
        return unit(self.predictor(self.projector(self.backbone(images))), self.backbone)

    def compare(self, predictions: Tensor, targets: Tensor) -> Compare:
        """Return the squared distance of unit vectors, 2 - 2 cos (equation 2)."""

        def against(partner: Tensor | None) -> Tensor:
            return 2 + 2 * negative_cosine(predictions, targets if partner is None else targets[partner])

        return against

    def clean_loss(self, views: Views, targets: Tensor) -> Tensor:
        """Return the mean of both directions, or the query's alone."""
        forth = super().clean_loss(views, targets)
        if not self.settings.symmetric:
            return forth
        back = self.compare(self.predict(views.key), self.targets(views.query))(None)
        return (forth + back) / 2
