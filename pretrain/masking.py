"""The second axis of pretraining: how a query view is corrupted before the framework compares it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from pydantic import BaseModel
from torch import Generator, Tensor

from mmbench.checkpoints.card import HighPass
from mmbench.registry import Registry
from mmbench.settings.types import STRICT


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
    """Base of every masking's typed settings: unknown keys are refused.

    Attributes:
        CELLS: name of the setting that is the number of cells per side of a mask; None where masks have none.
    """

    model_config = STRICT
    CELLS: ClassVar[str | None] = None

    @property
    def cells(self) -> int:
        """The cells per side of a mask, which an image must have pixels for."""
        return 1 if self.CELLS is None else int(getattr(self, self.CELLS))


class Panel(NamedTuple):
    """One row of the figure of views: an image for each column.

    Attributes:
        label: text beside the row; may have two lines.
        images: (N, 1 or 3, H, W).
        kind: "view" for normalised images, "mask" for numbers in [0, 1].
        captions: one under each image, or none.
    """

    label: str
    images: Tensor
    kind: Literal["view", "mask"]
    captions: tuple[str, ...] = ()


class Masking(ABC):
    """Corrupts normalised query views; keys stay whole.

    A masking declares here what the rest of mmbench needs, so that a class in one file, registered by
    `@MASKINGS.register("name")`, is all that a new one takes.

    Attributes:
        Settings: the typed settings that a recipe fills.
        branches: name -> label in figures, for each branch of the loss; `Masked.name` is one of the names.
        keeps_clean_query: the corrupted view is compared with the key beside the clean query; otherwise
            it takes the clean query's place.
        high_pass: filter for every view, before masking, that the finished weights will expect too.
    """

    Settings: ClassVar[type[MaskingSettings]]
    branches: ClassVar[Mapping[str, str]] = {"masked": "masked query"}
    keeps_clean_query: ClassVar[bool]
    high_pass: HighPass | None = None

    @abstractmethod
    def __init__(self, settings: MaskingSettings, image_size: int) -> None: ...

    @abstractmethod
    def __call__(self, images: Tensor, generator: Generator) -> tuple[Masked, ...]:
        """Corrupt normalised (and filtered) images (B, 3, H, W), once per branch of the loss."""

    def checked(self, images: Tensor, generator: Generator) -> tuple[Masked, ...]:
        """Corrupt images, and check that each branch is one that the masking declares.

        Raises:
            ValueError: a name that is not declared, or two branches of one name, whose losses would merge.
        """
        found = self(images, generator)
        names = [masked.name for masked in found]
        if len(set(names)) < len(names) or not set(names) <= set(self.branches) - {"clean", "total"}:
            raise ValueError(
                f"{type(self).__name__} returned branches {names} but declares {sorted(self.branches)}; give "
                "each Masked one of the declared names, no name twice, none 'clean' or 'total'"
            )
        return found

    def panels(self, masked: Masked, query: Tensor) -> list[Panel]:
        """Return what a figure shows of one branch: the mask, the masked query, the partner's view.

        Args:
            masked: what this masking returned.
            query: the views that it was given (N, 3, H, W).
        """
        kind = "masked query" if masked.partner is None else "mixed query"
        label = f"\n{self.branches[masked.name]}" if len(self.branches) > 1 else ""
        shares = tuple(f"λ = {value:.2f}" for value in masked.lam.tolist())
        rows = [
            Panel("mask\nwhite: own pixels", masked.mask, "mask", shares),
            Panel(f"{kind}{label}", masked.images, "view"),
        ]
        if masked.partner is not None:
            rows.append(Panel("partner's view", query[masked.partner], "view"))
        return rows


MASKINGS: Registry[type[Masking]] = Registry("masking", "mmbench.pretrain.maskings")


def draw_partners(batch: int, how: str, generator: Generator) -> Tensor:
    """Return a permutation (B,): "flip" reverses the batch (plain MixMask), "permutation" is random."""
    if how == "flip":
        return torch.arange(batch - 1, -1, -1, device=generator.device)
    return torch.randperm(batch, generator=generator, device=generator.device)
