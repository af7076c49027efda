"""Settings of each kind of detector."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from mmbench.settings.effects import OnlyWith
from mmbench.settings.types import Flag, PositiveShare, Share, Within, different
from mmbench.transfer.dense.detection.key_effects import smooth
from mmbench.transfer.dense.detection.settings import DetectionSettings, settings_of

AnchorSide = Annotated[int, Within(1, 8192)]
AnchorScale = Annotated[float, Within(0.1, 1000)]
Ratio = Annotated[float, Within(0.01, 100)]
Ratios = Annotated[tuple[Ratio, ...], Field(min_length=1, max_length=32), AfterValidator(different)]
LayerWidth = Annotated[int, Within(8, 65536)]
Layers = Annotated[int, Within(0, 64)]
Bins = Annotated[int, Within(1, 64)]
Sampled = Annotated[int, Within(2, 100_000)]
Proposals = Annotated[int, Within(1, 1_000_000)]
Beta = Annotated[float, Within(0, 1000)]
Norm = Literal["none", "bn", "syncbn", "naive_syncbn", "gn"]  # see BackboneNorm
# Where the pyramid stands in for the fpn, which does not take an architecture.
OnFpn = OnlyWith("detector", "fpn", "keypoint")
OnC4, OnPyramid = OnlyWith("detector", "c4", "auto"), OnlyWith("detector", "pyramid", "auto")


def _even_rows(value: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """Return rows of anchors if every level has the same number, at least one, as the RPN demands."""
    if len({len(row) for row in value}) != 1 or not value[0]:
        raise ValueError("must have the same number of anchors on every level, at least one")
    return value


class RegionSettings(DetectionSettings):
    """Settings of detectors in two stages: proposals, then a head per region.

    Attributes:
        rpn_batch: anchors per image in the RPN loss (RPN.BATCH_SIZE_PER_IMAGE).
        roi_batch: proposals per image in the box loss (ROI_HEADS.BATCH_SIZE_PER_IMAGE).
        roi_positive_share: upper bound of the share of objects among these (POSITIVE_FRACTION).
        roi_samples: samples per bin and axis of ROIAlign (POOLER_SAMPLING_RATIO); 0 adapts to the box.
        train_proposals: proposals per image before and after suppression, training; of an FPN, the first
            number is per level.
        test_proposals: the same, evaluation.
    """

    rpn_batch: Sampled = 256
    roi_batch: Sampled = 512
    roi_positive_share: PositiveShare = 0.25
    roi_samples: Annotated[int, Within(0, 64)] = 0
    train_proposals: tuple[Proposals, Proposals] = (12000, 2000)
    test_proposals: tuple[Proposals, Proposals] = (6000, 1000)


@settings_of("auto", "c4", "pyramid")
class C4OrPyramidSettings(RegionSettings):
    """Settings of the detectors c4, pyramid and auto, which takes one of them by the architecture.

    Attributes:
        c4_anchor_sizes: sides of the anchors in pixels (c4).
        pyramid_anchor_scales: sides of the anchors as multiples of each level's stride (pyramid).
        pyramid_finest_stride: stride of the finest level (pyramid).
        pyramid_channels: channels of the FPN and of the RPN (pyramid).
        pyramid_box_bins: bins per side that each box is pooled to (pyramid).
        pyramid_box_width: width of the box head's one hidden layer (pyramid).
        pyramid_bfloat16: run the timm network in bfloat16, where the device has it (pyramid).
    """

    c4_anchor_sizes: Annotated[
        tuple[AnchorSide, ...], Field(min_length=1, max_length=32), AfterValidator(different), OnC4
    ] = (32, 64, 128, 256, 512)
    pyramid_anchor_scales: Annotated[
        tuple[AnchorScale, ...], Field(min_length=1, max_length=32), AfterValidator(different), OnPyramid
    ] = (4.0, 5.66)
    pyramid_finest_stride: Annotated[Literal[4, 8], OnPyramid] = 4
    pyramid_channels: Annotated[LayerWidth, OnPyramid] = 64
    pyramid_box_bins: Annotated[Bins, OnPyramid] = 7
    pyramid_box_width: Annotated[LayerWidth, OnPyramid] = 256
    pyramid_bfloat16: Annotated[Flag, OnPyramid] = False


@settings_of("fpn")
class FpnSettings(RegionSettings):
    """Settings of the detector fpn; the defaults are Detectron2's Base-RCNN-FPN.yaml.

    Attributes:
        fpn_norm: of the FPN's own convolutions (FPN.NORM).
        fpn_channels: channels of every level (FPN.OUT_CHANNELS).
        anchor_sizes: sides of the anchors in pixels, a list for each of the five levels p2 to p6.
        anchor_ratios: height over width of the anchors.
        box_convs: 3 x 3 convolutions of the box head (ROI_BOX_HEAD.NUM_CONV).
        box_fcs: its hidden layers behind them (NUM_FC).
        box_width: width of these layers (FC_DIM).
        box_pool: bins per side that each box is pooled to.
        box_smooth_l1_beta: error at which the box loss changes from L2 to L1; 0 is plain L1.
        head_norm: of the convolutions of the box and the mask head (NORM of both).
        mask_convs: 3 x 3 convolutions of the mask head (ROI_MASK_HEAD.NUM_CONV).
        mask_pool: bins per side that each box is pooled to for its mask.
    """

    detector: Literal["fpn", "keypoint"] = "fpn"
    train_proposals: tuple[Proposals, Proposals] = (2000, 1000)
    test_proposals: tuple[Proposals, Proposals] = (1000, 1000)
    fpn_norm: Annotated[Norm, OnFpn] = "none"
    fpn_channels: Annotated[LayerWidth, OnFpn] = 256
    anchor_sizes: Annotated[
        tuple[tuple[AnchorSide, ...], ...],
        Field(min_length=5, max_length=5),
        AfterValidator(_even_rows),
        OnFpn,
    ] = ((32,), (64,), (128,), (256,), (512,))
    anchor_ratios: Annotated[Ratios, OnFpn] = (0.5, 1.0, 2.0)
    box_convs: Annotated[Layers, OnFpn] = 0
    box_fcs: Annotated[Layers, OnFpn] = 2
    box_width: Annotated[LayerWidth, OnFpn, OnlyWith("box_fcs")] = 1024
    box_pool: Annotated[Bins, OnFpn] = 7
    box_smooth_l1_beta: Annotated[Beta, OnFpn, smooth("ROI_BOX_HEAD")] = 0.0
    head_norm: Annotated[Norm, OnFpn, OnlyWith("box_convs", unless=OnlyWith("masks"))] = "none"
    mask_convs: Annotated[Layers, OnFpn, OnlyWith("masks")] = 4
    mask_pool: Annotated[Bins, OnFpn, OnlyWith("masks")] = 14

    @field_validator("box_fcs")
    @classmethod
    def _has_a_layer(cls, value: int, others: ValidationInfo) -> int:
        if value + others.data.get("box_convs", 1) == 0:
            raise ValueError("the box head needs a layer; set box_convs or box_fcs above 0")
        return value


@settings_of("keypoint")
class KeypointSettings(FpnSettings):
    """Settings of the detector keypoint, an FPN with a keypoint head (Base-Keypoint-RCNN-FPN.yaml)."""

    detector: Literal["keypoint"] = "keypoint"
    train_proposals: tuple[Proposals, Proposals] = (2000, 1500)
    box_smooth_l1_beta: Annotated[Beta, smooth("ROI_BOX_HEAD")] = 0.5


@settings_of("retinanet")
class RetinaNetSettings(DetectionSettings):
    """Settings of the detector retinanet; the defaults are Detectron2's Base-RetinaNet.yaml.

    Attributes:
        fpn_norm: of the FPN's own convolutions (FPN.NORM).
        fpn_channels: channels of every level (FPN.OUT_CHANNELS).
        anchor_sizes: sides of the smallest anchors in pixels, one for each of the five levels p3 to p7.
        anchor_scales: anchors per octave: each size is there this many times, 2 ** (1 / anchor_scales) apart.
        anchor_ratios: height over width of the anchors.
        head_convs: 3 x 3 convolutions in front of the scores and of the boxes (RETINANET.NUM_CONVS).
        head_norm: of these convolutions (RETINANET.NORM).
        iou_thresholds: an anchor below the first is background, from the second on it is an object.
        smooth_l1_beta: error at which the box loss changes from L2 to L1; 0 is plain L1.
    """

    detector: Literal["retinanet"] = "retinanet"
    fpn_norm: Norm = "none"
    fpn_channels: LayerWidth = 256
    anchor_sizes: Annotated[tuple[AnchorSide, ...], Field(min_length=5, max_length=5)] = (
        32,
        64,
        128,
        256,
        512,
    )
    anchor_scales: Annotated[int, Within(1, 16)] = 3
    anchor_ratios: Ratios = (0.5, 1.0, 2.0)
    head_convs: Annotated[int, Within(1, 64)] = 4
    head_norm: Norm = "none"
    iou_thresholds: tuple[Share, Share] = (0.4, 0.5)
    smooth_l1_beta: Annotated[Beta, smooth("RETINANET")] = 0.0

    @field_validator("masks")
    @classmethod
    def _has_no_masks(cls, value: bool) -> bool:
        if value:
            raise ValueError("retinanet makes no masks; use the detector fpn")
        return value

    @field_validator("iou_thresholds")
    @classmethod
    def _rises(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError("must be two numbers, the smaller one first")
        return value
