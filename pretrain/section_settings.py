"""Settings of the augmentation and of the optimiser; light, so that plans are checked without torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel

from mmbench.images.crop_rule import ASPECT, CropFit, CropRule
from mmbench.settings.effects import OnlyWith, require_effects
from mmbench.settings.types import (
    MOST_EPOCHS,
    STRICT,
    AspectRange,
    BatchSize,
    CropScale,
    LearningRate,
    Share,
    ShareBelowOne,
    SigmaRange,
    WeightDecay,
    Within,
)

_COLOURS = OnlyWith("augmentation.jitter")
# What settings of the sections below need in order to have an effect.
EFFECTS: dict[str, tuple[OnlyWith, ...]] = {
    **{f"augmentation.{name}": (_COLOURS,) for name in ("brightness", "contrast", "saturation", "hue")},
    "augmentation.blur_sigma": (OnlyWith("augmentation.blur"),),
    "optimiser.momentum": (OnlyWith("optimiser.name", "sgd", "lars"),),
    "optimiser.scaling": (OnlyWith("optimiser.reference_batch"),),
}


class AugmentationSettings(BaseModel):
    """The numbers of the augmentation.

    Attributes:
        crop_scale: range of the crop's area as a share of the image's.
        crop_aspect: range of the crop's width / height, log-uniform.
        crop_fit: what becomes of a crop that is wider or taller than the image: "cut" shortens that side, so
            that areas are larger and shapes may leave `crop_aspect`; "redraw" draws again, see `CropRule`.
        flip: probability of a horizontal flip.
        jitter: probability that an image's colours are changed.
        brightness, contrast, saturation, hue: strengths, as in torchvision's ColorJitter.
        grayscale: probability.
        blur: probability.
        blur_sigma: range of sigma in pixels.
    """

    model_config = STRICT

    crop_scale: CropScale = (0.2, 1.0)
    crop_aspect: AspectRange = ASPECT
    crop_fit: CropFit = "cut"
    flip: Share = 0.5
    jitter: Share = 0.8
    brightness: Share = 0.4
    contrast: Share = 0.4
    saturation: Share = 0.4
    hue: Annotated[float, Within(0, 0.5)] = 0.1
    grayscale: Share = 0.2
    blur: Share = 0.5
    blur_sigma: SigmaRange = (0.1, 2.0)

    def crop_rule(self) -> CropRule:
        """Return what crops are drawn from."""
        return CropRule(self.crop_scale, self.crop_aspect, self.crop_fit)


class OptimiserSettings(BaseModel):
    """The optimiser and its schedule: linear warm-up, then a cosine to zero.

    Attributes:
        lr: peak learning rate at `reference_batch`, or at any batch where that is None.
        reference_batch: images per step that `lr` is meant for.
        name: "lars" (You et al. 2017, arXiv 1708.03888) leaves biases and norms without adaptation and
            without weight decay, as SimCLR and BYOL do.
        scaling: how the rate follows the batch: "linear" for SGD and LARS (Goyal et al. 2017, arXiv
            1706.02677), "sqrt" for Adam (Malladi et al. 2022, arXiv 2205.10287).
        momentum: of SGD and LARS.
        warmup_epochs: may be a fraction; 0 starts at the peak.
    """

    model_config = STRICT

    name: Literal["adamw", "sgd", "lars"] = "adamw"
    lr: LearningRate = 2e-3
    reference_batch: BatchSize | None = None
    scaling: Literal["linear", "sqrt"] = "linear"
    weight_decay: WeightDecay = 1e-4
    momentum: ShareBelowOne = 0.9
    warmup_epochs: Annotated[float, Within(0, MOST_EPOCHS)] = 1.0

    def effective_lr(self, batch_size: int) -> float:
        """Return the peak learning rate at `batch_size` images per step."""
        if self.reference_batch is None or batch_size == self.reference_batch:
            return self.lr
        ratio = batch_size / self.reference_batch
        return self.lr * (ratio if self.scaling == "linear" else math.sqrt(ratio))


def require_section_effects(sections: Mapping[str, BaseModel], stated: Iterable[str], owner: str) -> None:
    """Check that what a user states of the sections has an effect.

    Args:
        sections: those above, by the name of their section; one that is missing is not checked.
        stated: dotted names of the settings that the user states, of other sections too.
        owner: see `require_effects`.

    Raises:
        UserError: a setting has none.
    """
    values = {
        f"{section}.{name}": value
        for section, model in sections.items()
        for name, value in dict(model).items()
    }
    require_effects(values, EFFECTS, stated, owner)
