"""timm's ResNet with options that do not change the names and shapes of its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn
from torch.amp.autocast_mode import is_autocast_available

from mmbench.checkpoints.card import HighPass
from mmbench.images.preprocessing import high_pass as filtered

STEM_PADDINGS = (1, 2)
OUTPUT_STRIDES = (8, 16, 32)


class HighPassFilter(nn.Module):
    """The high-pass filter of MSCN-style weights as a layer: x - GaussianBlur(x), no parameter, no buffer.

    It expects normalised images and computes in float32 or wider, also under autocast, so that it gives
    what `mmbench.images.preprocessing.high_pass` gives.

    Args:
        kernel_size: odd, in pixels of the images that the network is fed.
        sigma: in the same pixels.

    Raises:
        ValueError: the kernel is not odd and positive, or sigma is not positive.
    """

    def __init__(self, kernel_size: float, sigma: float) -> None:
        super().__init__()
        if kernel_size not in range(1, 1001, 2) or not 0 < sigma < float("inf"):
            raise ValueError(
                f"high_pass=({kernel_size}, {sigma}): the kernel size must be an odd whole number and sigma "
                "a positive number, both in pixels"
            )
        self.filter = HighPass(kernel_size=int(kernel_size), sigma=float(sigma))

    def forward(self, images: Tensor) -> Tensor:
        """Return images (N, C, H, W) without their low frequencies, in the same dtype."""
        kind = images.device.type
        wide = images if images.dtype == torch.float64 else images.float()
        if not is_autocast_available(kind):
            return filtered(wide, self.filter).to(images.dtype)
        with torch.autocast(kind, enabled=False):
            return filtered(wide, self.filter).to(images.dtype)

    def extra_repr(self) -> str:
        """Return kernel size and sigma."""
        return f"kernel_size={self.filter.kernel_size}, sigma={self.filter.sigma:g}"


class FilteredConv2d(nn.Conv2d):
    """A convolution behind the high-pass filter, with the tensors of a plain convolution.

    It replaces a network's first convolution, so that the filter is applied however the network is called:
    `forward_features`, `forward_intermediates`, timm's `features_only`, other libraries' wrappers.
    """

    def __init__(self, high_pass: HighPassFilter, *sizes: Any, **settings: Any) -> None:
        super().__init__(*sizes, **settings)
        self.high_pass = high_pass

    def forward(self, images: Tensor) -> Tensor:
        """Return the maps (N, C, H, W) of filtered images."""
        return super().forward(self.high_pass(images))


def behind_high_pass(convolution: nn.Conv2d, high_pass: Sequence[float]) -> FilteredConv2d:
    """Return the convolution, with the very same parameters, behind a filter (kernel size, sigma)."""
    if len(high_pass) != 2:
        raise ValueError(f"high_pass={tuple(high_pass)}: expected (kernel size, sigma)")
    layer = HighPassFilter(*high_pass)
    with torch.device("meta"):  # draws no random numbers; its parameters are replaced
        twin = FilteredConv2d(
            layer,
            convolution.in_channels,
            convolution.out_channels,
            convolution.kernel_size,
            stride=convolution.stride,
            padding=convolution.padding,
            bias=convolution.bias is not None,
        )
    twin.weight, twin.bias = convolution.weight, convolution.bias
    return twin


class MixMaskResNet(ResNet):
    """timm's ResNet with options that leave names and shapes of its tensors as they are.

    With three stages, `layer4` (which timm's ResNet always runs) is an identity: at 32 px a fourth
    stage's 2 x 2 map loses what makes a texture.

    Args:
        small_stem: a 3 x 3 first convolution for images of about 32 px, instead of the 7 x 7 one.
        stem_stride: of the 3 x 3 convolution.
        stem_padding: of the 3 x 3 convolution: 1, or 2 as in solo-learn.
        stem_pool: whether a 3 x 3 max-pooling of stride 2 follows. Default: behind the 7 x 7 stem only.
        early_stride: stride in the first 1 x 1 convolution of a block, as the original MSRA networks do
            (He et al. 2016; Detectron2's STRIDE_IN_1X1, OpenMMLab's style="caffe").
        high_pass: (kernel size, sigma) of a high-pass filter in front of everything; see `HighPassFilter`.
        others: timm's own, such as `output_stride`.

    Raises:
        ValueError: an option that this network cannot have.
    """

    def __init__(
        self,
        small_stem: bool = False,
        stem_stride: int = 1,
        stem_padding: int | None = None,
        stem_pool: bool | None = None,
        early_stride: bool = False,
        high_pass: Sequence[float] | None = None,
        **others: Any,
    ) -> None:
        if stem_padding is not None and not (small_stem and stem_padding in STEM_PADDINGS):
            raise ValueError(
                f"stem_padding={stem_padding}: a 3 x 3 stem takes {STEM_PADDINGS}, no other takes any"
            )
        if small_stem and others.get("output_stride", 32) != 32:
            raise ValueError("output_stride: a network with a 3 x 3 stem has no dilated form")
        if early_stride and others["block"] is not Bottleneck:
            raise ValueError("early_stride: only networks of bottlenecks (50 layers and more) have it")
        super().__init__(**others)
        if small_stem:
            width = int(self.bn1.num_features)
            padding = stem_padding or 1
            self.conv1 = nn.Conv2d(self.in_chans, width, 3, stride=stem_stride, padding=padding, bias=False)
            nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        pooled = not small_stem if stem_pool is None else stem_pool
        if not pooled:
            self.maxpool = nn.Identity()
        first = stem_stride if small_stem else 2
        self.feature_info[0]["reduction"] = first
        for info in self.feature_info[1:]:
            info["reduction"] = info["reduction"] // 4 * first * (2 if pooled else 1)
        if len(others["layers"]) == 3:
            self.layer4 = nn.Identity()
        if early_stride:
            for stage in (self.layer2, self.layer3, self.layer4):
                block = next(stage.children(), None)
                if block is None:  # the network has no such stage
                    continue
                block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
        if high_pass is not None:
            if not isinstance(self.conv1, nn.Conv2d):
                raise ValueError("high_pass: only a stem of one convolution takes it")
            self.conv1 = behind_high_pass(self.conv1, high_pass)
