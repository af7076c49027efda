"""The second axis of pretraining: how a query view is corrupted before the framework compares it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import BaseModel
from torch import Generator, Tensor

from mmbench.checkpoints.card import HighPass
from mmbench.registry import Registry
from mmbench.settings_types import STRICT


@dataclass(frozen=True)
class Masked:
    """A corrupted batch.

    Attributes:
        images: float (B, 3, H, W).
        mask: float (B, 1 or 3, H, W), 1 where an image kept its own pixels.
        lam: float (B,), the mask's mean: the share of own pixels.
        partner: int64 (B,), a permutation: the gaps of image i hold pixels of image partner[i];
            None where the gaps hold nothing of another image.
        name: of the branch, and of its loss term.
    """

    images: Tensor
    mask: Tensor
    lam: Tensor
    partner: Tensor | None = None
    name: str = "masked"


class MaskingSettings(BaseModel):
    """Base of every masking's typed settings: unknown keys are refused."""

    model_config = STRICT


class Masking(ABC):
    """Corrupts normalised query views; keys stay whole.

    Attributes:
        Settings: the typed settings that a recipe fills.
        keeps_clean_query: the corrupted view is compared with the key beside the clean query; otherwise
            it takes the clean query's place.
        high_pass: filter for every view, before masking, that the finished weights will expect too.
    """

    Settings: ClassVar[type[MaskingSettings]]
    keeps_clean_query: ClassVar[bool]
    high_pass: HighPass | None = None

    @abstractmethod
    def __init__(self, settings: MaskingSettings, image_size: int) -> None: ...

    @abstractmethod
    def __call__(self, images: Tensor, generator: Generator) -> tuple[Masked, ...]:
        """Corrupt normalised (and filtered) images (B, 3, H, W), once per branch of the loss."""


MASKINGS: Registry[type[Masking]] = Registry("masking", "mmbench.pretrain.maskings")


def draw_partners(batch: int, how: str, generator: Generator) -> Tensor:
    """Return a permutation (B,): "flip" reverses the batch (plain MixMask), "permutation" is random."""
    if how == "flip":
        return torch.arange(batch - 1, -1, -1, device=generator.device)
    return torch.randperm(batch, generator=generator, device=generator.device)
