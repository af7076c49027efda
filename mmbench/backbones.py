"""The MixMask ResNets and the original MSRA ones, registered with timm.

Each is timm's own ResNet, so `features_only`, `num_classes`, `in_chans` and `checkpoint_path` work as
they do for timm's models, and state dicts carry torchvision's names. They differ from timm's in three
ways: by default they have no classifier (as timm's other self-supervised models have none), no
residual branch starts at zero (as torchvision's, which MoCo and MixMask trained), and they take the options
of `mmbench.resnets.MixMaskResNet`: `high_pass`, `stem_padding`, `stem_pool` and `early_stride`.
"""

from __future__ import annotations

from typing import Any, cast

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.resnet import BasicBlock, Bottleneck, ResNet

from mmbench import resnets  # not its class: who imports that module before timm comes here from its middle
from mmbench.checkpoints.card import IMAGENET_MEAN, IMAGENET_STD


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


def _build(variant: str, pretrained: bool, **kwargs: Any) -> ResNet:
    """Build a model as timm does, with residual branches that are alive from the first step."""
    kwargs.setdefault("zero_init_last", False)
    if kwargs.get("features_only"):
        kwargs.setdefault("out_indices", tuple(range(len(kwargs["layers"]) + 1)))
    return cast(ResNet, build_model_with_cfg(resnets.MixMaskResNet, variant, pretrained, **kwargs))


@register_model
def mixmask_resnet8(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-8 for 32 px: three stages of one basic block (32, 64, 128 channels), stride-2 stem."""
    settings = {"block": BasicBlock, "layers": (1, 1, 1), "channels": (32, 64, 128)}
    settings |= {"small_stem": True, "stem_stride": 2}
    return _build("mixmask_resnet8", pretrained, **settings, **kwargs)


@register_model
def mixmask_resnet18(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-18."""
    return _build("mixmask_resnet18", pretrained, **STAGES[18], **kwargs)


@register_model
def mixmask_resnet34(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-34."""
    return _build("mixmask_resnet34", pretrained, **STAGES[34], **kwargs)


@register_model
def mixmask_resnet50(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-50, the backbone of the MixMask paper."""
    return _build("mixmask_resnet50", pretrained, **STAGES[50], **kwargs)


@register_model
def mixmask_resnet101(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-101."""
    return _build("mixmask_resnet101", pretrained, **STAGES[101], **kwargs)


@register_model
def mixmask_resnet152(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-152."""
    return _build("mixmask_resnet152", pretrained, **STAGES[152], **kwargs)


@register_model
def mixmask_wide_resnet50_2(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-50 whose 3 x 3 convolutions are twice as wide (Zagoruyko and Komodakis 2016)."""
    return _build("mixmask_wide_resnet50_2", pretrained, base_width=128, **STAGES[50], **kwargs)


@register_model
def mixmask_wide_resnet101_2(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-101 whose 3 x 3 convolutions are twice as wide (Zagoruyko and Komodakis 2016)."""
    return _build("mixmask_wide_resnet101_2", pretrained, base_width=128, **STAGES[101], **kwargs)


@register_model
def msra_resnet50(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """The original ResNet-50, with early strides."""
    kwargs.setdefault("early_stride", True)
    return _build("msra_resnet50", pretrained, **STAGES[50], **kwargs)


@register_model
def msra_resnet101(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """The original ResNet-101, with early strides."""
    kwargs.setdefault("early_stride", True)
    return _build("msra_resnet101", pretrained, **STAGES[101], **kwargs)


@register_model
def msra_resnet152(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """The original ResNet-152, with early strides."""
    kwargs.setdefault("early_stride", True)
    return _build("msra_resnet152", pretrained, **STAGES[152], **kwargs)


@register_model
def mixmask_resnet18_cifar(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-18 with a 3 x 3 stride-1 stem for 32 px images."""
    return _build("mixmask_resnet18_cifar", pretrained, small_stem=True, **STAGES[18], **kwargs)


@register_model
def mixmask_resnet34_cifar(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-34 with a 3 x 3 stride-1 stem for 32 px images."""
    return _build("mixmask_resnet34_cifar", pretrained, small_stem=True, **STAGES[34], **kwargs)


@register_model
def mixmask_resnet50_cifar(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-50 with a 3 x 3 stride-1 stem for 32 px images."""
    return _build("mixmask_resnet50_cifar", pretrained, small_stem=True, **STAGES[50], **kwargs)


@register_model
def mixmask_resnet101_cifar(pretrained: bool = False, **kwargs: Any) -> ResNet:
    """ResNet-101 with a 3 x 3 stride-1 stem for 32 px images."""
    return _build("mixmask_resnet101_cifar", pretrained, small_stem=True, **STAGES[101], **kwargs)
