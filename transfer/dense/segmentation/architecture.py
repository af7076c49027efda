"""mmsegmentation's own segmentor of a head, with a timm architecture as its backbone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmbench.checkpoints.card import ModelCard
from mmbench.checkpoints.images.timm_config import fixed_size
from mmbench.checkpoints.networks.options import NO_OPTIONS, Options
from mmbench.errors import UserError
from mmbench.transfer.dense.common.architectures import FeatureMap, feature_maps, plain_resnet_depth
from mmbench.transfer.dense.segmentation.heads.registry import HEADS
from mmbench.transfer.dense.segmentation.published import published
from mmbench.transfer.dense.segmentation.settings import SegmentationSettings

# Strides and dilations of the four stages for each output stride; 8 is mmsegmentation's "D8".
DILATED: dict[int, dict[str, Any]] = {
    8: {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)},
    16: {"strides": (1, 2, 2, 1), "dilations": (1, 1, 1, 2)},
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


def model_config(
    card: ModelCard, settings: SegmentationSettings, weights: Path | None, classes: int
) -> dict[str, Any]:
    """Return mmsegmentation's configuration of the network, without its preprocessor.

    All that differs from the file of the head is set here and in the head's module.

    Args:
        card: of the backbone.
        weights: file for mmsegmentation's `ResNet`; `TIMMBackbone` is fed after it is built.
        classes: their number, background included where it is a class.

    Raises:
        UserError: the head does not take the architecture, timm offers no feature maps of it, or the network
            takes images of another size alone.
    """
    head = HEADS.get(settings.head)
    model = dict(published(f"_base_/models/{head.file}")["model"])
    del model["pretrained"], model["data_preprocessor"]
    depth = plain_resnet_depth(card.arch, card.arch_options)
    auxiliary: dict[str, Any] | None = None
    if depth is not None:
        # Not ResNetV1c: its three-convolution stem would match no weights.
        source = {"type": "Pretrained", "checkpoint": str(weights)}
        model["backbone"] |= {"type": "ResNet", "depth": depth, "init_cfg": source}
        model["backbone"] |= DILATED[settings.output_stride]
        expansion = 1 if depth < 50 else 4
        channels = [width * expansion for width in (64, 128, 256, 512)]
        model["decode_head"] |= head.on_resnet(settings, channels)
        auxiliary = {"in_channels": channels[2], "in_index": 2}
    else:
        _require_fed(card.arch, settings)
        maps = head_inputs(card.arch, settings.finest_stride, card.arch_options)
        model["backbone"] = {
            "type": "TIMMBackbone",
            "model_name": card.arch,
            "features_only": True,
            "pretrained": False,
            "out_indices": tuple(level.index for level in maps),
            **card.arch_options,
        }
        channels = [level.channels for level in maps]
        model["decode_head"] |= head.on_maps(settings, channels)
        index = head.auxiliary_map(len(maps))
        auxiliary = None if index is None else {"in_channels": channels[index], "in_index": index}
    common = {
        "num_classes": classes,
        "dropout_ratio": settings.dropout,
        "align_corners": settings.align_corners,
    }
    model["decode_head"] |= {**common, "channels": settings.head_channels}
    if auxiliary is None or settings.auxiliary_weight == 0:
        del model["auxiliary_head"]
    else:
        model["auxiliary_head"] |= {**common, **auxiliary, "channels": settings.auxiliary_channels}
        model["auxiliary_head"]["loss_decode"]["loss_weight"] = settings.auxiliary_weight
    test: dict[str, Any] = {"mode": settings.test_mode}
    if settings.test_mode == "slide":
        test |= settings.windows
    return {**model, "type": "MMBenchSegmentor", "bfloat16": settings.bfloat16, "test_cfg": test}


def _require_fed(arch: str, settings: SegmentationSettings) -> None:
    """Check that a network for images of one size is fed this size, in training and in evaluation.

    Raises:
        UserError: it is not.
    """
    side = fixed_size(arch)
    if side is None:
        return
    slides = settings.test_mode == "slide" and settings.windows["crop_size"] == (side, side)
    if settings.crop_size != (side, side) or not slides:
        raise UserError(
            f"'{arch}' takes images of {side} x {side} px alone; use --set crop={side} --set test_mode=slide "
            f"--set test_crop={side} --set test_stride={side // 2}, or another network"
        )


def network_note(card: ModelCard, settings: SegmentationSettings) -> str:
    """Return the network in words, for records."""
    head = HEADS.get(settings.head)
    auxiliary = f"auxiliary FCN head of weight {settings.auxiliary_weight:g}"
    if plain_resnet_depth(card.arch, card.arch_options) is not None:
        used = f"with an {auxiliary}" if settings.auxiliary_weight else "without auxiliary head"
        return f"{head.title} on mmsegmentation's ResNet at output stride {settings.output_stride}, {used}"
    maps = head_inputs(card.arch, settings.finest_stride, card.arch_options)
    read = f"{head.title} on timm's maps of stride {', '.join(str(level.stride) for level in maps)}"
    if not settings.auxiliary_weight:
        return f"{read}, without auxiliary head"
    if head.auxiliary_map(len(maps)) is None:
        return f"{read}, without the {auxiliary}, which reads layer3 of plain ResNets"
    return f"{read}, with an {auxiliary}"
