"""Settings that detection and segmentation protocols share."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mmbench.settings_types import Count, Iterations, LearningRate, WarmupIterations, require_shorter
from mmbench.tasks import TaskSettings
from mmbench.transfer.dense.common.lengths import of_stated_length
from mmbench.transfer.dense.common.scaling import by_linear_rule


class DenseSettings(TaskSettings):
    """Settings of a training that is counted in iterations.

    Attributes:
        train_images: number of training images, drawn by the seed; None takes all.
        iterations: length of the training.
        optimizer: "sgd" has momentum 0.9; "adamw" has PyTorch's betas.
        learning_rate: after the warm-up, for `batch_size` as it is.
        warmup_iterations: linear warm-up from a thousandth of the learning rate.
        epochs: passes over the training images that set the length of the run, in which case `iterations` is
            the upper bound of the length, and decay_at and warmup_iterations shrink with it. None: the run
            has `iterations`.
        fewest_iterations: lower bound of that length.
        library: the library's own keys and their values, applied last.
    """

    train_images: Count | None = None
    iterations: Iterations
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: LearningRate
    warmup_iterations: WarmupIterations = 0
    epochs: Count | None = None
    fewest_iterations: Iterations = 1
    library: dict[str, Any] = Field(default_factory=dict)

    @field_validator("warmup_iterations")
    @classmethod
    def _warms_up_in_time(cls, value: int, others: ValidationInfo) -> int:
        require_shorter(value, others, "iterations")
        return value

    @property
    def customised(self) -> bool:
        """Whether the library's own keys change the protocol, which the record's id then says."""
        return bool(self.library)

    @model_validator(mode="before")
    @classmethod
    def _follows_the_batch(cls, values: Any, info: ValidationInfo) -> Any:
        """Scale what the user does not state; without a context everything counts as stated."""
        if info.context is None or not isinstance(values, dict):
            return values
        stated = set(info.context["stated"])
        if "iterations" in stated and "epochs" not in stated and values.get("epochs") is not None:
            values = {**values, **of_stated_length(values, info.context["protocol"], stated)}
            stated |= {"decay_at", "warmup_iterations", "precise_bn_iterations"}
        return by_linear_rule(values, stated)
