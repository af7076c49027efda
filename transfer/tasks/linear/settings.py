"""Settings of the linear protocols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from mmbench.images.crop_rule import CropFit
from mmbench.settings.effects import OnlyWith
from mmbench.settings.types import (
    BatchSize,
    Candidates,
    Count,
    CropScale,
    DecayEpochs,
    Decays,
    Epochs,
    Factor,
    Flag,
    Iterations,
    LearningRate,
    NormedBatchSize,
    Rates,
    ShareBelowOne,
    Tolerance,
    WeightDecay,
    Within,
)
from mmbench.tasks import TaskSettings, kind_of
from mmbench.transfer.crop_settings import CropSettings


class LinearSettings(TaskSettings):
    """Settings that every linear protocol has.

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
        return kind_of(values.get("features"), kinds, cls)


class CachedProbe(LinearSettings):
    """Settings of the probe on features taken once.

    Attributes:
        weight_decays: candidates, tried from the strongest on; the one with the best top-1 on val is kept,
            then fitted on train and val.
        patience: the search ends after so many candidates in a row that are no better than the best.
        iterations: most L-BFGS iterations per fit.
        tolerance: a fit ends when the largest gradient entry falls below it.
    """

    weight_decays: Decays
    patience: Count = 2
    iterations: Iterations = 200
    tolerance: Tolerance = 1e-4


class AugmentedProbe(LinearSettings, CropSettings):
    """Settings of the probe on augmented images (SGD with momentum, learning rate divided at steps).

    Attributes:
        epochs: passes over train.
        batch_size: images per step; the last step of an epoch may have fewer.
        learning_rate: at the start; it is not scaled by anything.
        decay_epochs: after these epochs the rate is multiplied by `decay_factor`.
    """

    epochs: Epochs
    batch_size: BatchSize
    learning_rate: LearningRate
    momentum: ShareBelowOne = 0.9
    weight_decay: WeightDecay = 0.0
    decay_epochs: DecayEpochs = ()
    decay_factor: Annotated[Factor, OnlyWith("decay_epochs")] = 0.1


class SweepProbe(LinearSettings, CropSettings):
    """Settings of many heads at once: every combination of rate, decay and batch norm (SGD with momentum).

    Attributes:
        epochs: passes over train.
        batch_size: images per step, fewer where there are fewer images; an incomplete last batch is left out.
        learning_rates: at the start; they are not scaled by anything.
        batch_norm: whether features go through a batch norm without scale and bias.
        decay_epochs: after these epochs the rates are multiplied by `decay_factor`; where there are none,
            they follow a cosine to zero.
    """

    epochs: Epochs
    batch_size: NormedBatchSize
    learning_rates: Rates
    weight_decays: Decays
    batch_norm: Annotated[tuple[Flag, ...], Field(min_length=1, max_length=2)] = (False, True)
    momentum: ShareBelowOne = 0.9
    decay_epochs: DecayEpochs = ()
    decay_factor: Annotated[Factor, OnlyWith("decay_epochs")] = 0.1
    crop_scale: Annotated[CropScale, OnlyWith("features", "augmented-sweep")] = (0.08, 1.0)
    crop_fit: Annotated[CropFit, OnlyWith("features", "augmented-sweep")] = "cut"

    @property
    def augmented(self) -> bool:
        """Whether the backbone runs on new crops in every step."""
        return self.features == "augmented-sweep"

    @property
    def trains_on_crops(self) -> bool:
        """Whether random crops are drawn at all: only for new crops in every step."""
        return self.augmented


class SvmProbe(LinearSettings):
    """Settings of a support vector machine per class, for images of several labels.

    Attributes:
        costs: candidates of C, which multiplies the summed loss beside |weight|^2 / 2; chosen per class.
        folds: parts of train and val, of which each is left out once to choose the cost.
        positive_weight: what an image of the class weighs in the loss; all others weigh 1.
        iterations: most LIBLINEAR iterations per fit.
        tolerance: a fit ends when the largest violation falls below it.
    """

    costs: Candidates
    folds: Annotated[int, Within(2, 100)] = 3
    positive_weight: Factor = 2.0
    iterations: Iterations = 2000
    tolerance: Tolerance = 1e-4
