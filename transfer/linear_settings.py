"""Settings of the linear protocols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from mmbench.transfer.protocol import TaskSettings


class LinearSettings(TaskSettings):
    """What every linear protocol says.

    Attributes:
        features: "cached": taken once, the head is fitted to its optimum; "augmented": new crops in every
            epoch, the head is trained by SGD; "sweep" and "augmented-sweep": many heads at once by SGD, on
            features taken once or on new crops; "svm": taken once, a support vector machine per class.
    """

    features: Literal["cached", "augmented", "sweep", "augmented-sweep", "svm"]

    @classmethod
    def variant(cls, values: Mapping[str, Any]) -> type[TaskSettings]:
        """Return the settings model of the protocol's kind."""
        kinds: dict[Any, type[TaskSettings]] = {
            "cached": CachedProbe,
            "augmented": AugmentedProbe,
            "sweep": SweepProbe,
            "augmented-sweep": SweepProbe,
            "svm": SvmProbe,
        }
        return kinds.get(values.get("features"), cls)


class CachedProbe(LinearSettings):
    """Settings of the probe on features taken once.

    Attributes:
        weight_decays: candidates, tried from the strongest on; the one with the best top-1 on val is kept,
            then fitted on train and val.
        patience: the search ends after so many candidates in a row that are no better than the best.
        iterations: most L-BFGS iterations per fit.
        tolerance: a fit ends when the largest gradient entry falls below it.
    """

    weight_decays: tuple[float, ...] = Field(min_length=1)
    patience: int = Field(default=2, gt=0)
    iterations: int = Field(default=200, gt=0)
    tolerance: float = Field(default=1e-4, gt=0)


class AugmentedProbe(LinearSettings):
    """Settings of the probe on augmented images (SGD with momentum, learning rate divided at steps).

    Attributes:
        epochs: passes over train.
        batch_size: images per step; the last step of an epoch takes what is left.
        learning_rate: at the start; it is not scaled by anything.
        decay_epochs: after these epochs the rate is multiplied by `decay_factor`.
        crop_scale: range of the crop's area.
    """

    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0)
    decay_epochs: tuple[int, ...] = ()
    decay_factor: float = Field(default=0.1, gt=0)
    crop_scale: tuple[float, float] = (0.08, 1.0)


class SweepProbe(LinearSettings):
    """Settings of many heads at once: every combination of rate, decay and batch norm (SGD with momentum).

    Attributes:
        epochs: passes over train.
        batch_size: images per step, fewer where there are fewer images; an incomplete last batch is left out.
        learning_rates: at the start; they are not scaled by anything.
        batch_norm: whether features go through a batch norm without scale and bias.
        decay_epochs: after these epochs the rates are multiplied by `decay_factor`; where there are none,
            they follow a cosine to zero.
        crop_scale: range of the crop's area, on augmented images.
    """

    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=1)
    learning_rates: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)
    weight_decays: tuple[Annotated[float, Field(ge=0)], ...] = Field(min_length=1)
    batch_norm: tuple[bool, ...] = Field(default=(False, True), min_length=1)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    decay_epochs: tuple[int, ...] = ()
    decay_factor: float = Field(default=0.1, gt=0)
    crop_scale: tuple[float, float] = (0.08, 1.0)

    @property
    def augmented(self) -> bool:
        """Whether the backbone runs on new crops in every step."""
        return self.features == "augmented-sweep"


class SvmProbe(LinearSettings):
    """Settings of a support vector machine per class, for pictures of several labels.

    Attributes:
        costs: candidates of C, which multiplies the summed loss beside |weight|^2 / 2; chosen per class.
        folds: parts of train and val, of which each is left out once to choose the cost.
        positive_weight: what a picture of the class weighs in the loss; all others weigh 1.
        iterations: most LIBLINEAR iterations per fit.
        tolerance: a fit ends when the largest violation falls below it.
    """

    costs: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1)
    folds: int = Field(default=3, ge=2)
    positive_weight: float = Field(default=2.0, gt=0)
    iterations: int = Field(default=2000, gt=0)
    tolerance: float = Field(default=1e-4, gt=0)
