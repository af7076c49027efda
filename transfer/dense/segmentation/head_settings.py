"""Settings of each kind of head."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mmbench.settings.types import Flag, Within, different
from mmbench.transfer.dense.segmentation.settings import HeadWidth, SegmentationSettings, settings_of

Dilation = Annotated[int, Within(1, 256)]
Dilations = Annotated[tuple[Dilation, ...], Field(min_length=1, max_length=16), AfterValidator(different)]
Cells = Annotated[int, Within(1, 64)]
PoolScales = Annotated[tuple[Cells, ...], Field(min_length=1, max_length=16), AfterValidator(different)]


@settings_of("fcn")
class FCNSettings(SegmentationSettings):
    """Settings of FCNHead (Long et al. 2015).

    Attributes:
        head_convs: 3 x 3 convolutions in the head.
        head_dilation: of these convolutions; MoCo's FCN has 6.
        head_concat: also feed the head's last convolution with its input (mmsegmentation's default).
    """

    head_convs: Annotated[int, Within(1, 64)] = 2
    head_dilation: Dilation = 1
    head_concat: Flag = True


@settings_of("deeplabv3plus")
class DeepLabV3PlusSettings(SegmentationSettings):
    """Settings of DepthwiseSeparableASPPHead (Chen et al. 2018).

    Attributes:
        aspp_dilations: one branch of spatial pyramid pooling each; those above 1 are depthwise separable.
        low_level_channels: width to which the stride-4 map (layer1) is brought.
    """

    aspp_dilations: Dilations = (1, 12, 24, 36)
    low_level_channels: HeadWidth = 48


@settings_of("upernet")
class UPerNetSettings(SegmentationSettings):
    """Settings of UPerHead (Xiao et al. 2018).

    Attributes:
        pool_scales: sides of the grids that the coarsest map is pooled to.
    """

    finest_stride: Literal[2, 4, 8, 16, 32] = 4
    pool_scales: PoolScales = (1, 2, 3, 6)
