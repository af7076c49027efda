"""Settings of the linear dense probe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ValidationInfo, field_validator, model_validator

from mmbench.settings.effects import OnlyWith
from mmbench.settings.types import (
    BatchSize,
    CropScale,
    DecayEpochs,
    Deviation,
    Epochs,
    Flag,
    Iterations,
    LearningRate,
    PositiveShare,
    ScaleRange,
    SceneSize,
    ShareBelowOne,
    WarmupIterations,
    WeightDecay,
    Within,
    require_shorter,
)
from mmbench.transfer.dense.probes.settings import DenseProbeSettings, settings_of

OnScaledCrops = OnlyWith("augmentation", "scaled-crop")


@settings_of("linear")
class LinearProbeSettings(DenseProbeSettings):
    """Settings of one linear classifier of the positions of a feature map.

    Attributes:
        batch_size: images per step, over all processes.
        epochs: length in passes over the training images; an incomplete batch at the end of a pass is made
            complete from the next. None where `iterations` is stated.
        iterations: length in steps.
        optimizer: "sgd" with `momentum`; "adamw" with PyTorch's betas.
        schedule: "constant"; "step" multiplies the rate by 0.1 after each of `decay_epochs`; "one-cycle"
            warms up over `warmup_iterations` and falls to 0 on a cosine, as DINOv3's WarmupOneCycleLR does:
            the cosine begins at the first step, and the warm-up multiplies a line that falls to 0.
        warmup_start: the rate at the start of the warm-up, as a share of `learning_rate`.
        batch_norm: put batch norm before the classifier.
        dropout: share of the channels that are dropped before the classifier.
        initial_deviation: of the classifier's weights, normally distributed, with biases of 0; None takes
            PyTorch's initialisation of a convolution.
        augmentation: "none" feeds training images as evaluated ones, and takes their maps once;
            "resized-crop" is torchvision's RandomResizedCrop; "scaled-crop" resizes the short side to `crop`
            times a random factor and cuts a random square. Both are mirrored half of the time.
        crop: side in pixels of a training crop.
        crop_scale: range of a resized crop's area, as a share of the image.
        scale_range: range of the random factor of a scaled crop.
        largest_share: a scaled crop is drawn again, at most ten times, while one class fills as much of it.
        colour_jitter: brightness, contrast, saturation and hue of a scaled crop are changed at random, as
            mmsegmentation's PhotoMetricDistortion does.
    """

    batch_size: BatchSize
    epochs: Epochs | None = None
    iterations: Iterations | None = None
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: LearningRate
    momentum: Annotated[ShareBelowOne, OnlyWith("optimizer", "sgd")] = 0.9
    weight_decay: WeightDecay = 0.0
    schedule: Literal["constant", "step", "one-cycle"] = "constant"
    decay_epochs: Annotated[DecayEpochs, OnlyWith("schedule", "step")] = ()
    warmup_iterations: Annotated[WarmupIterations, OnlyWith("schedule", "one-cycle")] = 0
    warmup_start: Annotated[float, Within(0, 1), OnlyWith("warmup_iterations")] = 1e-6
    batch_norm: Flag = False
    dropout: ShareBelowOne = 0.0
    initial_deviation: Deviation | None = None
    augmentation: Literal["none", "resized-crop", "scaled-crop"] = "none"
    crop: Annotated[SceneSize | None, OnlyWith("augmentation", "resized-crop", "scaled-crop")] = None
    crop_scale: Annotated[CropScale, OnlyWith("augmentation", "resized-crop")] = (0.8, 1.0)
    scale_range: Annotated[ScaleRange, OnScaledCrops] = (1.0, 1.0)
    largest_share: Annotated[PositiveShare, OnScaledCrops] = 1.0
    colour_jitter: Annotated[Flag, OnScaledCrops] = False

    @field_validator("warmup_iterations")
    @classmethod
    def _warms_up_in_time(cls, value: int, others: ValidationInfo) -> int:
        require_shorter(value, others, "iterations")
        return value

    @model_validator(mode="after")
    def _is_complete(self) -> LinearProbeSettings:
        if (self.epochs is None) == (self.iterations is None):
            raise ValueError("the length is epochs or iterations; set one, and the other to null")
        if self.schedule == "step" and self.epochs is None:
            raise ValueError("schedule=step counts in epochs; set epochs and decay_epochs")
        if self.augmentation != "none" and self.crop is None:
            raise ValueError(f"augmentation={self.augmentation} needs the size of a crop; set crop")
        if self.augmentation == "none" and self.test_mode == "slide":
            raise ValueError(
                "augmentation=none trains on maps of whole images; set test_mode=whole or squash"
            )
        return self

    def steps(self, images: int) -> int:
        """Return the length in steps for a number of training images."""
        if self.iterations is not None:
            return self.iterations
        assert self.epochs is not None
        return self.epochs * max(1, images // self.batch_size)
