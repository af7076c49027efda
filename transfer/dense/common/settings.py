"""Settings that detection and segmentation protocols share."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from mmbench.settings.types import (
    BatchSize,
    Count,
    Iterations,
    LearningRate,
    WarmupIterations,
    require_shorter,
)
from mmbench.tasks import TaskSettings
from mmbench.transfer.dense.common.lengths import length_by_data, of_stated_length, shrunk_decays
from mmbench.transfer.dense.common.scaling import by_linear_rule


class DenseSettings(TaskSettings):
    """Settings of a training that is counted in iterations.

    Attributes:
        train_images: number of training images, drawn by the seed; None takes all.
        batch_size: images per iteration, over all processes.
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
    batch_size: BatchSize
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

    def effective(self, images: int) -> Self:
        """Return the settings in force for this number of training images: with a length instead of passes.

        Args:
            images: that are used in training.
        """
        if self.epochs is None:
            return self
        length, share = length_by_data(
            self.iterations, self.epochs, self.fewest_iterations, images=images, batch_size=self.batch_size
        )
        return self.model_copy(
            update={
                "epochs": None,
                "iterations": length,
                "decay_at": shrunk_decays(getattr(self, "decay_at", ()), length, share),
                "warmup_iterations": min(self.warmup_iterations, length // 10),
            }
        )

    def length_note(self, images: int) -> str | None:
        """Return the note on a length that follows from the number of training images, if it does."""
        if self.epochs is None:
            return None
        length = self.effective(images).iterations
        passes = length * self.batch_size / images
        return (
            f"{length} iterations of {self.batch_size} images, {passes:.1f} passes over {images} training "
            f"images (protocol: {self.epochs} passes, {self.fewest_iterations} to {self.iterations} "
            "iterations)"
        )

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
