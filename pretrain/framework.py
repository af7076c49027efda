"""The first axis of pretraining: how views are compared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from mmbench.pretrain.masking import Masked
from mmbench.registry import Registry


class FrameworkSettings(BaseModel):
    """Base of every framework's typed settings: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Views:
    """What a framework is given for one step; float (B, 3, H, W), normalised.

    Attributes:
        query: one view of each image.
        key: the other view of the same images, never masked.
        masked: the query view, corrupted; None where the masking is "none".
        compare_clean: whether the query takes part as it is; otherwise the masked view takes its place.
    """

    query: Tensor
    key: Tensor
    masked: Masked | None
    compare_clean: bool


class Framework(nn.Module, ABC):
    """Owns the encoders and the loss.

    Attributes:
        Settings: the typed settings that a recipe fills.
        backbone: the headless encoder that is kept when the run is finished.
    """

    Settings: ClassVar[type[FrameworkSettings]]
    backbone: nn.Module

    @abstractmethod
    def __init__(self, backbone: nn.Module, settings: FrameworkSettings) -> None:
        super().__init__()

    @abstractmethod
    def loss(self, views: Views) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss (a scalar) and its terms (detached scalars) by name."""

    def after_step(self) -> None:
        """Do what follows the optimiser's step."""


FRAMEWORKS: Registry[type[Framework]] = Registry("framework", package="mmbench.pretrain")
