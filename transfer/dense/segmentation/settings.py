"""Settings of segmentation protocols."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ValidationInfo, field_validator

from mmbench.settings_types import (
    Count,
    Factor,
    Flag,
    NormedBatchSize,
    PositiveShare,
    ScaleRange,
    SceneSize,
    ShareBelowOne,
    WeightDecay,
    Within,
    Workers,
)
from mmbench.transfer.dense.common.settings import DenseSettings

HeadWidth = Annotated[int, Within(4, 65536)]


class SegmentationSettings(DenseSettings):
    """Settings of one FCN run (Long et al. 2015, as mmsegmentation's FCNHead builds it).

    Attributes:
        batch_size: images per iteration.
        test_batch: images per step of the evaluation; above 1 they must all be of one size.
        head_factor: the heads, which start at random, learn with this many times the learning rate.
        final_learning_rate: what the polynomial decay of power 0.9 ends at.
        bfloat16: compute backbone and heads in bfloat16, where the device has it; weights, logits and loss
            stay float32.
        resize: images are scaled to fit into (long, short) pixels, at evaluation too; None leaves them.
        scale_range: range of the random factor on top of `resize` in training.
        crop: side of the square training crop in pixels; smaller images are padded.
        largest_share: a crop is drawn again (at most ten times) while one class fills more of it than this.
        colour_jitter: mmsegmentation's PhotoMetricDistortion in training.
        workers: data loading processes; 0 loads in the main process.
        output_stride: of the plain ResNets, whose later stages are dilated to reach it (8 is FCN-D8).
        finest_stride: of other timm networks: their maps of this stride and coarser are resized to the
            finest of them and concatenated.
        head_channels: width of the FCN head.
        head_convs: 3 x 3 convolutions in the head.
        head_concat: also feed the head's last convolution with its input (mmsegmentation's default).
        dropout: share of the head's channels that are dropped before its classifier.
        auxiliary_weight: loss weight of a second, small head on layer3 of the plain ResNets; 0 has none.
        auxiliary_channels: width of that head.
    """

    batch_size: NormedBatchSize
    test_batch: Count = 1
    head_factor: Factor = 1.0
    final_learning_rate: Annotated[float, Within(0, 1e6)] = 1e-4
    weight_decay: WeightDecay = 5e-4
    bfloat16: Flag = False
    resize: tuple[SceneSize, SceneSize] | None = None
    scale_range: ScaleRange = (1.0, 1.0)
    crop: SceneSize
    largest_share: PositiveShare = 1.0
    colour_jitter: Flag = False
    workers: Workers = 0
    output_stride: Literal[8, 16, 32] = 8
    finest_stride: Literal[2, 4, 8, 16, 32] = 8
    head_channels: HeadWidth
    head_convs: Annotated[int, Within(1, 64)] = 2
    head_concat: Flag = True
    dropout: ShareBelowOne = 0.1
    auxiliary_weight: Annotated[float, Within(0, 1e6)] = 0.0
    auxiliary_channels: HeadWidth = 256

    @field_validator("warmup_iterations")
    @classmethod
    def _warms_up_in_time(cls, value: int, others: ValidationInfo) -> int:
        """Refuse a warm-up as long as the run: mmengine's decay needs a step after it."""
        if value >= others.data.get("iterations", value + 1):
            raise ValueError("the warm-up must be shorter than the training (iterations)")
        return value

    @field_validator("scale_range")
    @classmethod
    def _scales_something(cls, value: tuple[float, float], others: ValidationInfo) -> tuple[float, float]:
        if value != (1.0, 1.0) and others.data.get("resize") is None:
            raise ValueError("there is no size (resize) that it could multiply")
        return value
