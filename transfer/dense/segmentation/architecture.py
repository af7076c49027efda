"""The backbone of mmsegmentation that takes a timm architecture's weights, and the maps its head reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmbench.checkpoints.options import NO_OPTIONS, Options
from mmbench.transfer.dense.common.architectures import FeatureMap, feature_maps, plain_resnet_depth
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings

# Strides and dilations of the four stages for each output stride; 8 is mmsegmentation's "D8".
DILATED: dict[int, dict[str, Any]] = {
    8: {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4), "contract_dilation": True},
    16: {"strides": (1, 2, 2, 1), "dilations": (1, 1, 1, 2), "contract_dilation": True},
    32: {"strides": (1, 2, 2, 2), "dilations": (1, 1, 1, 1)},
}


def head_inputs(arch: str, finest_stride: int, options: Options = NO_OPTIONS) -> list[FeatureMap]:
    """Return timm's feature maps that the head reads, finest first.

    If every map is finer than `finest_stride`, the last one is read.

    Raises:
        UserError: timm offers no feature maps of this architecture.
    """
    maps = feature_maps(arch, "segmentation", options)
    return [level for level in maps if level.stride >= finest_stride] or maps[-1:]


def backbone_config(
    arch: str, settings: SegmentationSettings, weights: Path | None, options: Options = NO_OPTIONS
) -> dict[str, Any]:
    """Return the configuration of mmsegmentation's backbone.

    Args:
        arch: timm name.
        settings: the protocol's.
        weights: file for mmsegmentation's `ResNet`; `TIMMBackbone` is fed after it is built.
        options: how the network is built, where names and shapes of its tensors do not determine it.

    Raises:
        UserError: timm offers no feature maps of this architecture.
    """
    depth = plain_resnet_depth(arch, options)
    if depth is None:
        return {
            "type": "TIMMBackbone",
            "model_name": arch,
            "features_only": True,
            "pretrained": False,
            "out_indices": tuple(level.index for level in head_inputs(arch, settings.finest_stride, options)),
            **options,
        }
    return {
        "type": "ResNet",  # not ResNetV1c: its three-convolution stem would match no weights
        "style": "pytorch",
        "depth": depth,
        **DILATED[settings.output_stride],
        "norm_cfg": {"type": "SyncBN"},
        "init_cfg": {"type": "Pretrained", "checkpoint": str(weights)},
    }


def head_config(
    arch: str, settings: SegmentationSettings, classes: int, options: Options = NO_OPTIONS
) -> dict[str, Any]:
    """Return `decode_head` and, where the protocol has one, `auxiliary_head`; `classes` counts background."""
    depth = plain_resnet_depth(arch, options)
    common = {
        "type": "MMBenchFCNHead",
        "bfloat16": settings.bfloat16,
        "num_classes": classes,
        "dropout_ratio": settings.dropout,
        "norm_cfg": {"type": "SyncBN"},  # mmengine turns it into BN where there is one process
        "align_corners": False,
    }
    decode: dict[str, Any] = {
        **common,
        "channels": settings.head_channels,
        "num_convs": settings.head_convs,
        "concat_input": settings.head_concat,
        "loss_decode": {"type": "CrossEntropyLoss", "loss_weight": 1.0},
    }
    if depth is None:
        channels = [level.channels for level in head_inputs(arch, settings.finest_stride, options)]
        if len(channels) == 1:
            return {"decode_head": {**decode, "in_channels": channels[0], "in_index": 0}}
        several = {"input_transform": "resize_concat", "in_index": list(range(len(channels)))}
        return {"decode_head": {**decode, "in_channels": channels, **several}}
    expansion = 1 if depth < 50 else 4
    heads = {"decode_head": {**decode, "in_channels": 512 * expansion, "in_index": 3}}
    if settings.auxiliary_weight > 0:
        heads["auxiliary_head"] = {
            **common,
            "in_channels": 256 * expansion,
            "in_index": 2,
            "channels": settings.auxiliary_channels,
            "num_convs": 1,
            "concat_input": False,
            "loss_decode": {"type": "CrossEntropyLoss", "loss_weight": settings.auxiliary_weight},
        }
    return heads
