"""The first axis of pretraining: how views are compared. The asymmetric loss is defined here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import BaseModel
from torch import Tensor, nn

from mmbench.pretrain.masking import Masked
from mmbench.registry import Registry
from mmbench.settings.types import STRICT

# Loss per sample, shape (B,), of each prediction against its own target, or against another image's.
Compare = Callable[[Tensor | None], Tensor]


class FrameworkSettings(BaseModel):
    """Base of every framework's typed settings: unknown keys are refused."""

    model_config = STRICT


@dataclass(frozen=True)
class Views:
    """What a framework is given for one step; float (B, 3, H, W), normalised.

    Attributes:
        query: one view of each image.
        key: the other view of the same images, never masked.
        masked: the query view, corrupted, once per branch; empty where the masking is "none".
        compare_clean: whether the query takes part as it is; otherwise the masked view takes its place.
        key_order: the order (W B,) of all processes' images in which key encoders that shuffle see them;
            None: as they come.
    """

    query: Tensor
    key: Tensor
    masked: tuple[Masked, ...]
    compare_clean: bool
    key_order: Tensor | None = None


class Framework(nn.Module, ABC):
    """Owns the encoders and the comparison of a prediction with a target.

    A step calls `begin_step`, then `forward`, which is the loss, for each part of the batch, and after the
    optimiser's step `after_step`. Where several processes train together, each has its part of the batch,
    and the mean of their losses is what is minimised.

    Attributes:
        Settings: the typed settings that a recipe fills.
        negatives_in_pass: embeddings are compared with the others that pass together with them.
        shuffles_keys: `targets` heeds the order that it is given.
        backbone: the headless encoder that is kept when the run is finished.
    """

    Settings: ClassVar[type[FrameworkSettings]]
    negatives_in_pass: ClassVar[bool] = False
    shuffles_keys: ClassVar[bool] = True
    backbone: nn.Module

    @abstractmethod
    def __init__(self, backbone: nn.Module, settings: FrameworkSettings) -> None:
        super().__init__()

    @abstractmethod
    def targets(self, images: Tensor, order: Tensor | None = None) -> Tensor:
        """Return what views are compared with, from key views (B, 3, H, W): (B, D).

        Args:
            order: `Views.key_order`; frameworks whose statistics leak nothing have no use for it.
        """

    @abstractmethod
    def predict(self, images: Tensor) -> Tensor:
        """Return what is compared with the targets, from query views (B, 3, H, W): (B, D)."""

    @abstractmethod
    def compare(self, predictions: Tensor, targets: Tensor) -> Compare:
        """Return the comparison of predictions with targets, both (B, D).

        What it returns takes `partner`, None or a permutation (B,), and gives the loss of prediction i
        against target i or target partner[i]. What does not depend on the partner is computed once.
        """

    def clean_loss(self, views: Views, targets: Tensor) -> Tensor:
        """Return the loss per sample (B,) of the clean query; frameworks that compare both ways extend it."""
        return self.compare(self.predict(views.query), targets)(None)

    def forward(self, views: Views) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its terms; what is called where several processes train together."""
        return self.loss(views)

    def constant_lr_parameters(self) -> Iterable[nn.Parameter]:
        """Return the parameters whose learning rate does not follow the schedule."""
        return ()

    def loss(self, views: Views) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss (a scalar) and its terms (detached scalars) by name.

        L(q, k) + L(masked, k) for gaps that hold nothing of another image, and for mixed ones MixMask's
        asymmetric loss L(q, k) + lam L(q_mix, k) + (1 - lam) L(P^-1(q_mix), k), with one lam per sample.
        Row partner[i] of P^-1(q_mix) is q_mix[i]. Taken in the order of i, its target is k[partner[i]] and
        its weight 1 - lam[i]: the last term needs neither a forward pass nor a second look at the negatives.
        Source: MixMask, arXiv 2210.11456, the flexible loss; released code at 392a0e7.
        """
        targets = self.targets(views.key, views.key_order)
        terms: dict[str, Tensor] = {}
        if views.compare_clean:
            terms["clean"] = self.clean_loss(views, targets).mean()
        for masked in views.masked:
            against = self.compare(self.predict(masked.images), targets)
            own = against(None)
            if masked.partner is None:
                terms[masked.name] = own.mean()
            else:
                swapped = against(masked.partner)
                terms[masked.name] = (masked.lam * own + (1 - masked.lam) * swapped).mean()
        total = torch.stack(list(terms.values())).sum()
        return total, {name: term.detach() for name, term in terms.items()}

    def remarks(self, images: int) -> tuple[str, ...]:
        """Return a line for each setting that does not fit a data set of so many images."""
        return ()

    def begin_step(self, progress: float) -> None:
        """Do what precedes a step; `progress` is the share of all steps that is done, in [0, 1)."""

    def after_step(self) -> None:
        """Do what follows the optimiser's step."""


FRAMEWORKS: Registry[type[Framework]] = Registry("framework", "mmbench.pretrain.frameworks")
