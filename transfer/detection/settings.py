"""What a detection protocol can say."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mmbench.transfer.task import TaskSettings


class DetectionSettings(TaskSettings):
    """Settings of a Faster or Mask R-CNN run; the names in capitals are Detectron2's own.

    Attributes:
        detector: "c4" is MoCo's ResNet C4 with an extra norm after res5; "pyramid" takes the stages of any
            timm ConvNet, under a light FPN where there are several; "auto" takes c4 for the plain ResNets
            of 18 to 101 layers, else the pyramid.
        masks: train and measure instance masks too (Mask R-CNN).
        train_images: draw this many training images by the seed; None takes all.
        batch_size: images per iteration, over all processes.
        iterations: length of the training.
        optimizer: "sgd" with momentum 0.9, or "adamw".
        learning_rate: after the warm-up, for `batch_size` as it is.
        backbone_lr_factor: factor on the learning rate of what was loaded from the checkpoint.
        decay_at: iterations at which the learning rate falls to a tenth.
        warmup_iterations: linear warm-up from a thousandth of the learning rate.
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
    masks: bool = False
    train_images: int | None = Field(default=None, ge=1)
    batch_size: int = Field(ge=1)
    iterations: int = Field(ge=1)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(gt=0)
    backbone_lr_factor: float = Field(default=1.0, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    decay_at: tuple[int, ...] = ()
    warmup_iterations: int = Field(default=100, ge=0)
    train_sizes: tuple[int, ...] = Field(min_length=1)
    test_size: int = Field(ge=16)
    max_size: int = 1333
    precise_bn_iterations: int = Field(default=0, ge=0)
    c4_anchor_sizes: tuple[int, ...] = Field(default=(32, 64, 128, 256, 512), min_length=1)
    pyramid_anchor_scales: tuple[float, ...] = Field(default=(4.0, 5.66), min_length=1)
    pyramid_finest_stride: Literal[4, 8] = 4
    pyramid_channels: int = Field(default=64, ge=8)
    pyramid_box_bins: int = Field(default=7, ge=1)
    pyramid_box_width: int = Field(default=256, ge=8)
    pyramid_bfloat16: bool = False
    rpn_batch: int = Field(default=256, ge=2)
    roi_batch: int = Field(default=512, ge=2)
    roi_positive_share: float = Field(default=0.25, gt=0, le=1)
    roi_samples: int = Field(default=0, ge=0)
    train_proposals: tuple[int, int] = (12000, 2000)
    test_proposals: tuple[int, int] = (6000, 1000)
