"""SimCLR (arXiv 2002.05709): one encoder, and the batch's other embeddings as negatives."""

from __future__ import annotations

from typing import ClassVar, cast

from torch import Tensor, nn

from mmbench.checkpoints.backbone import feature_width
from mmbench.pretrain.framework import FRAMEWORKS, Compare, Framework, FrameworkSettings
from mmbench.pretrain.heads import mlp, normed_mlp, unit
from mmbench.pretrain.losses import nt_xent
from mmbench.settings.types import Flag, Temperature, Width


class SimclrSettings(FrameworkSettings):
    """SimCLR's own numbers; defaults of the paper, section 2.2 and appendix B.

    Attributes:
        dim: length of an embedding.
        temperature: divides the cosine similarities.
        head_norm: the projection head has batch norms, as in the authors' code.
    """

    dim: Width = 128
    temperature: Temperature = 0.1
    head_norm: Flag = False


@FRAMEWORKS.register("simclr")
class Simclr(Framework):
    """Both views go through the one encoder and take a gradient; the loss is symmetric in them."""

    Settings: ClassVar[type[FrameworkSettings]] = SimclrSettings
    negatives_in_pass: ClassVar[bool] = True
    shuffles_keys: ClassVar[bool] = False

    def __init__(self, backbone: nn.Module, settings: FrameworkSettings) -> None:
        super().__init__(backbone, settings)
        self.settings = cast(SimclrSettings, settings)
        self.backbone = backbone
        features = feature_width(backbone)
        dim = self.settings.dim
        self.head = normed_mlp(features, dim) if self.settings.head_norm else mlp(features, features, dim)

    def targets(self, images: Tensor, order: Tensor | None = None) -> Tensor:
        """Return the key views' embeddings, with gradient: (B, dim), unit length."""
        return self.predict(images)

    def predict(self, images: Tensor) -> Tensor:
        """Return embeddings (B, dim), unit length."""
        return unit(self.head(self.backbone(images)), self.backbone)

    def compare(self, predictions: Tensor, targets: Tensor) -> Compare:
        """Return NT-Xent of a positive pair, the mean of its two directions.

        The denominators hold everyone but oneself, so they are the same whoever the positive is.
        """
        temperature = self.settings.temperature
        of_queries, of_keys = nt_xent(predictions, targets, temperature)

        def against(partner: Tensor | None) -> Tensor:
            keys, normaliser = (targets, of_keys) if partner is None else (targets[partner], of_keys[partner])
            positive = (predictions * keys).sum(1) / temperature
            return (of_queries + normaliser) / 2 - positive

        return against
