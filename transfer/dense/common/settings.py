"""Settings that detection and segmentation protocols share."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationInfo, field_validator

from mmbench.settings_types import Count, Iterations, LearningRate, WarmupIterations, require_shorter
from mmbench.tasks import TaskSettings


class DenseSettings(TaskSettings):
    """Settings of a training that is counted in iterations.

    Attributes:
        train_images: number of training images, drawn by the seed; None takes all.
        iterations: length of the training.
        optimizer: "sgd" has momentum 0.9; "adamw" has PyTorch's betas.
        learning_rate: after the warm-up, for `batch_size` as it is.
        warmup_iterations: linear warm-up from a thousandth of the learning rate.
    """

    train_images: Count | None = None
    iterations: Iterations
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: LearningRate
    warmup_iterations: WarmupIterations = 0

    @field_validator("warmup_iterations")
    @classmethod
    def _warms_up_in_time(cls, value: int, others: ValidationInfo) -> int:
        require_shorter(value, others, "iterations")
        return value
