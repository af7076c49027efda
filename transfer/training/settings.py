"""Settings of finetuning, shared by the tasks `semisup` and `finetune`."""

from __future__ import annotations

from typing import Annotated

from pydantic import ValidationInfo, field_validator

from mmbench.settings.effects import OnlyWith
from mmbench.settings.types import (
    CropScale,
    DecayEpochs,
    Epochs,
    Factor,
    Flag,
    LearningRate,
    NormedBatchSize,
    ShareBelowOne,
    WeightDecay,
)
from mmbench.transfer.crop_settings import CropSettings


class FinetuneSettings(CropSettings):
    """Settings of a finetuning run by SGD with momentum.

    Attributes:
        epochs: passes over the labelled images.
        batch_size: at most this many; fewer where there are fewer images.
        backbone_learning_rate, head_learning_rate: at the start; they are not scaled by anything.
        momentum, weight_decay, nesterov: of SGD.
        decay_epochs: after these epochs both rates are multiplied by `decay_factor`; where there are none,
            both follow a cosine to zero, step by step.
    """

    epochs: Epochs
    batch_size: NormedBatchSize
    backbone_learning_rate: LearningRate
    head_learning_rate: LearningRate
    momentum: ShareBelowOne = 0.9
    weight_decay: WeightDecay = 1e-4
    nesterov: Flag = False
    decay_epochs: DecayEpochs = ()
    decay_factor: Annotated[Factor, OnlyWith("decay_epochs")] = 0.2
    crop_scale: CropScale = (0.3, 1.0)

    @field_validator("nesterov")
    @classmethod
    def _needs_momentum(cls, value: bool, others: ValidationInfo) -> bool:
        if value and others.data.get("momentum") == 0:
            raise ValueError("Nesterov's method needs a momentum above 0")
        return value
