"""Settings of detection protocols."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from mmbench.settings_types import (
    BatchSize,
    Factor,
    Flag,
    Milestones,
    PositiveShare,
    SceneSize,
    SceneSizes,
    WarmupIterations,
    WeightDecay,
    Within,
    different,
    require_within_run,
)
from mmbench.transfer.dense.common.settings import DenseSettings

AnchorSide = Annotated[int, Within(1, 8192)]
AnchorScale = Annotated[float, Within(0.1, 1000)]
LayerWidth = Annotated[int, Within(8, 65536)]
Sampled = Annotated[int, Within(2, 100_000)]
Proposals = Annotated[int, Within(1, 1_000_000)]


class DetectionSettings(DenseSettings):
    """Settings of a Faster or Mask R-CNN run; names in capitals are Detectron2's own.

    Attributes:
        detector: "c4" is MoCo's ResNet C4 with an extra norm after res5; "pyramid" takes the stages of any
            timm ConvNet, under a light FPN where there are several; "auto" takes c4 for the plain ResNets
            of 18 to 101 layers, else the pyramid.
        masks: train and measure instance masks too (Mask R-CNN).
        batch_size: images per iteration, over all processes.
        backbone_lr_factor: factor on the learning rate of what was loaded from the checkpoint.
        decay_at: iterations at which the learning rate falls to a tenth.
        train_sizes: lengths of the shorter side in pixels; one is drawn per training image.
        test_size: the same at evaluation.
        max_size: upper bound of the longer side.
        precise_bn_iterations: batches over which batch-norm statistics are averaged anew after the
            training (TEST.PRECISE_BN); 0 keeps the running averages.
        c4_anchor_sizes: sides of the anchors in pixels (c4).
        pyramid_anchor_scales: sides of the anchors as multiples of each level's stride (pyramid).
        pyramid_finest_stride: stride of the finest level (pyramid).
        pyramid_channels: channels of the FPN and of the RPN (pyramid).
        pyramid_box_bins: bins per side that each box is pooled to (pyramid).
        pyramid_box_width: width of the box head's one hidden layer (pyramid).
        pyramid_bfloat16: run the timm network in bfloat16, where the device has it (pyramid).
        rpn_batch: anchors per image in the RPN loss (RPN.BATCH_SIZE_PER_IMAGE).
        roi_batch: proposals per image in the box loss (ROI_HEADS.BATCH_SIZE_PER_IMAGE).
        roi_positive_share: upper bound of the share of things among these (POSITIVE_FRACTION).
        roi_samples: samples per bin and axis of ROIAlign (POOLER_SAMPLING_RATIO); 0 adapts to the box.
        train_proposals: proposals per image before and after suppression, training.
        test_proposals: the same, evaluation.
    """

    detector: Literal["auto", "c4", "pyramid"] = "auto"
    masks: Flag = False
    batch_size: BatchSize
    backbone_lr_factor: Factor = 1.0
    weight_decay: WeightDecay = 1e-4
    decay_at: Milestones = ()
    warmup_iterations: WarmupIterations = 100
    train_sizes: SceneSizes
    test_size: SceneSize
    max_size: SceneSize = Field(default=1333, validate_default=True)
    precise_bn_iterations: WarmupIterations = 0
    c4_anchor_sizes: Annotated[
        tuple[AnchorSide, ...], Field(min_length=1, max_length=32), AfterValidator(different)
    ] = (32, 64, 128, 256, 512)
    pyramid_anchor_scales: Annotated[
        tuple[AnchorScale, ...], Field(min_length=1, max_length=32), AfterValidator(different)
    ] = (4.0, 5.66)
    pyramid_finest_stride: Literal[4, 8] = 4
    pyramid_channels: LayerWidth = 64
    pyramid_box_bins: Annotated[int, Within(1, 64)] = 7
    pyramid_box_width: LayerWidth = 256
    pyramid_bfloat16: Flag = False
    rpn_batch: Sampled = 256
    roi_batch: Sampled = 512
    roi_positive_share: PositiveShare = 0.25
    roi_samples: Annotated[int, Within(0, 64)] = 0
    train_proposals: tuple[Proposals, Proposals] = (12000, 2000)
    test_proposals: tuple[Proposals, Proposals] = (6000, 1000)

    @field_validator("decay_at")
    @classmethod
    def _decays_in_time(cls, value: tuple[int, ...], others: ValidationInfo) -> tuple[int, ...]:
        return require_within_run(value, others, "iterations")

    @field_validator("max_size")
    @classmethod
    def _holds_the_other_sizes(cls, value: int, others: ValidationInfo) -> int:
        largest = max((*others.data.get("train_sizes", ()), others.data.get("test_size", 0)))
        if value < largest:
            raise ValueError(f"must not be less than train_sizes and test_size (at most {largest}); set both")
        return value
