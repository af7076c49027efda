"""SimSiam (arXiv 2011.10566): one encoder, a predictor, and a stop of the gradient; nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal, cast

from torch import Tensor, nn

from mmbench.checkpoints.backbone import feature_width
from mmbench.pretrain.framework import FRAMEWORKS, Compare, Framework, FrameworkSettings, Views
from mmbench.pretrain.heads import unit
from mmbench.pretrain.losses import negative_cosine
from mmbench.settings.types import Flag, Width


class SimsiamSettings(FrameworkSettings):
    """SimSiam's own numbers; defaults of the paper, section 3.

    Attributes:
        dim: length of an embedding, and width of the projector.
        hidden: the predictor's bottleneck.
        projector_layers: 3 on ImageNet, 2 on CIFAR-10 (appendix D).
        symmetric: the clean views are compared in both directions, and averaged.
        constant_predictor: the predictor's learning rate stays at its peak ("Baseline settings").
    """

    dim: Width = 2048
    hidden: Width = 512
    projector_layers: Literal[2, 3] = 3
    symmetric: Flag = True
    constant_predictor: Flag = True


@FRAMEWORKS.register("simsiam")
class Simsiam(Framework):
    """The target is the same encoder's projection, and takes no gradient.

    Projector of two or three layers with a batch norm after each, the last one without scale and shift;
    predictor of two (section 3, "Baseline settings").
    """

    Settings: ClassVar[type[FrameworkSettings]] = SimsiamSettings
    shuffles_keys: ClassVar[bool] = False

    def __init__(self, backbone: nn.Module, settings: FrameworkSettings) -> None:
        super().__init__(backbone, settings)
        self.settings = cast(SimsiamSettings, settings)
        self.backbone = backbone
        features = feature_width(backbone)
        dim, hidden = self.settings.dim, self.settings.hidden
        layers: list[nn.Module] = []
        for number in range(1, self.settings.projector_layers + 1):
            inputs, last = features if number == 1 else dim, number == self.settings.projector_layers
            layers += [nn.Linear(inputs, dim, bias=False), nn.BatchNorm1d(dim, affine=not last)]
            layers += [] if last else [nn.ReLU(inplace=True)]
        self.projector = nn.Sequential(*layers)
        self.predictor = nn.Sequential(
            nn.Linear(dim, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, dim),
        )
        self._key_projections: Tensor | None = None

    def constant_lr_parameters(self) -> Iterable[nn.Parameter]:
        """Return the predictor's."""
        return self.predictor.parameters() if self.settings.constant_predictor else ()

    def targets(self, images: Tensor, order: Tensor | None = None) -> Tensor:
        """Return projections, without gradient: (B, dim), unit length; kept for the other direction."""
        self._key_projections = self.projector(self.backbone(images))
        return unit(self._key_projections.detach(), self.backbone)

    def predict(self, images: Tensor) -> Tensor:
        """Return predictions: (B, dim), unit length."""
        return unit(self.predictor(self.projector(self.backbone(images))), self.backbone)

    def compare(self, predictions: Tensor, targets: Tensor) -> Compare:
        """Return minus the cosine (equation 1)."""

        def against(partner: Tensor | None) -> Tensor:
            return negative_cosine(predictions, targets if partner is None else targets[partner])

        return against

    def clean_loss(self, views: Views, targets: Tensor) -> Tensor:
        """Return the mean of both directions (equation 2), or the query's alone; a view is encoded once."""
        projections = self.projector(self.backbone(views.query))
        forth = negative_cosine(unit(self.predictor(projections), self.backbone), targets)
        if not self.settings.symmetric or self._key_projections is None:
            return forth
        predictions = unit(self.predictor(self._key_projections), self.backbone)
        back = negative_cosine(predictions, unit(projections.detach(), self.backbone))
        return (forth + back) / 2

    def after_step(self) -> None:
        """Let the step's graph go."""
        self._key_projections = None
