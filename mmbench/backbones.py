"""The MixMask ResNets and the original MSRA ones, registered with timm.

Each is timm's own ResNet, so `features_only`, `num_classes`, `in_chans` and `checkpoint_path` work as
they do for timm's models, and state dicts carry torchvision's names. They differ from timm's in two
ways: by default they have no classifier (as timm's other self-supervised models have none), and no
residual branch starts at zero (as torchvision's, which MoCo and MixMask trained).
"""

from __future__ import annotations

from typing import Any, cast

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import nn

from mmbench.checkpoints.card import IMAGENET_MEAN, IMAGENET_STD


class SmallImageResNet(ResNet):
    """A ResNet for images of about 32 px: a 3 x 3 first convolution and no max-pooling.

    With three stages, `layer4` (which timm's ResNet always runs) is an identity: at 32 px a fourth
    stage's 2 x 2 map loses what makes a texture.
    """

    def __init__(self, stem_stride: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        width = int(self.bn1.num_features)
        self.conv1 = nn.Conv2d(self.in_chans, width, 3, stride=stem_stride, padding=1, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.maxpool = nn.Identity()
        self.feature_info[0]["reduction"] = stem_stride
        for info in self.feature_info[1:]:
            info["reduction"] = info["reduction"] // 4 * stem_stride
        if len(kwargs["layers"]) == 3:
            self.layer4 = nn.Identity()


class EarlyStrideResNet(ResNet):
    """A ResNet that strides in the first 1 x 1 convolution of a block, as the original MSRA networks do.

    Names and shapes are those of a plain ResNet, so nothing in a file tells the two apart but its format.
    Source: He et al. 2016; Detectron2 calls it STRIDE_IN_1X1, OpenMMLab style="caffe".
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for stage in (self.layer2, self.layer3, self.layer4):
            first = stage[0]
            first.conv1.stride, first.conv2.stride = first.conv2.stride, first.conv1.stride


def _cfg(image_size: int) -> dict[str, Any]:
    """Return timm's pretrained_cfg for square images of `image_size` px, without classifier."""
    return {
        "num_classes": 0,
        "input_size": (3, image_size, image_size),
        "pool_size": None,
        "crop_pct": 0.875 if image_size >= 96 else 1.0,
        "interpolation": "bilinear",
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "first_conv": "conv1",
        "classifier": "fc",
        "paper_ids": "arXiv:2210.11456",
    }


default_cfgs = generate_default_cfgs(
    {
        "mixmask_resnet8.patterns": _cfg(32),
        **{f"mixmask_resnet{depth}.in1k": _cfg(224) for depth in (18, 34, 50, 101, 152)},
        **{f"mixmask_wide_resnet{depth}_2.in1k": _cfg(224) for depth in (50, 101)},
        **{f"msra_resnet{depth}.in1k": _cfg(224) for depth in (50, 101, 152)},
        **{f"mixmask_resnet{depth}_cifar.c100": _cfg(32) for depth in (18, 34, 50, 101)},
    }
)

# Depth -> block and blocks per stage (He et al. 2016, table 1).
STAGES: dict[int, dict[str, Any]] = {
    18: {"block": BasicBlock, "layers": (2, 2, 2, 2)},
    34: {"block": BasicBlock, "layers": (3, 4, 6, 3)},
    50: {"block": Bottleneck, "layers": (3, 4, 6, 3)},
    101: {"block": Bottleneck, "layers": (3, 4, 23, 3)},
    152: {"block": Bottleneck, "layers": (3, 8, 36, 3)},
}


def _build(model: type[ResNet], variant: str, pretrained: bool, **kwargs: Any) -> ResNet:
    """Build a model as timm does, with residual branches that are alive from the first step."""
    kwargs.setdefault("zero_init_last", False)
    if kwargs.get("features_only"):
        kwargs.setdefault("out_indices", tuple(range(len(kwargs["layers"]) + 1)))
    return cast(ResNet, build_model_with_cfg(model, variant, pretrained, **kwargs))


@register_model
def mixmask_resnet8(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-8 for 32 px: three stages of one basic block (32, 64, 128 channels), stride-2 stem."""
    settings = {"block": BasicBlock, "layers": (1, 1, 1), "channels": (32, 64, 128), "stem_stride": 2}
    return _build(SmallImageResNet, "mixmask_resnet8", pretrained, **settings, **kwargs)


@register_model
def mixmask_resnet18(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-18."""
    return _build(ResNet, "mixmask_resnet18", pretrained, **STAGES[18], **kwargs)


@register_model
def mixmask_resnet34(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-34."""
    return _build(ResNet, "mixmask_resnet34", pretrained, **STAGES[34], **kwargs)


@register_model
def mixmask_resnet50(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-50, the backbone of the MixMask paper."""
    return _build(ResNet, "mixmask_resnet50", pretrained, **STAGES[50], **kwargs)


@register_model
def mixmask_resnet101(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-101."""
    return _build(ResNet, "mixmask_resnet101", pretrained, **STAGES[101], **kwargs)


@register_model
def mixmask_resnet152(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-152."""
    return _build(ResNet, "mixmask_resnet152", pretrained, **STAGES[152], **kwargs)


@register_model
def mixmask_wide_resnet50_2(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-50 whose 3 x 3 convolutions are twice as wide (Zagoruyko and Komodakis 2016)."""
    return _build(ResNet, "mixmask_wide_resnet50_2", pretrained, base_width=128, **STAGES[50], **kwargs)


@register_model
def mixmask_wide_resnet101_2(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-101 whose 3 x 3 convolutions are twice as wide (Zagoruyko and Komodakis 2016)."""
    return _build(ResNet, "mixmask_wide_resnet101_2", pretrained, base_width=128, **STAGES[101], **kwargs)


@register_model
def msra_resnet50(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """The original ResNet-50, with early strides."""
    return _build(EarlyStrideResNet, "msra_resnet50", pretrained, **STAGES[50], **kwargs)


@register_model
def msra_resnet101(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """The original ResNet-101, with early strides."""
    return _build(EarlyStrideResNet, "msra_resnet101", pretrained, **STAGES[101], **kwargs)


@register_model
def msra_resnet152(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """The original ResNet-152, with early strides."""
    return _build(EarlyStrideResNet, "msra_resnet152", pretrained, **STAGES[152], **kwargs)


@register_model
def mixmask_resnet18_cifar(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-18 with a 3 x 3 stride-1 stem for 32 px images."""
    return _build(SmallImageResNet, "mixmask_resnet18_cifar", pretrained, **STAGES[18], **kwargs)


@register_model
def mixmask_resnet34_cifar(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-34 with a 3 x 3 stride-1 stem for 32 px images."""
    return _build(SmallImageResNet, "mixmask_resnet34_cifar", pretrained, **STAGES[34], **kwargs)


@register_model
def mixmask_resnet50_cifar(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-50 with a 3 x 3 stride-1 stem for 32 px images."""
    return _build(SmallImageResNet, "mixmask_resnet50_cifar", pretrained, **STAGES[50], **kwargs)


@register_model
def mixmask_resnet101_cifar(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-101 with a 3 x 3 stride-1 stem for 32 px images."""
    return _build(SmallImageResNet, "mixmask_resnet101_cifar", pretrained, **STAGES[101], **kwargs)
