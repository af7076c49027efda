"""What detectors on timm's feature maps share."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode

from mmbench.checkpoints.card import ModelCard
from mmbench.checkpoints.networks.options import NO_OPTIONS, Options
from mmbench.errors import UserError
from mmbench.transfer.dense.common.architectures import feature_maps
from mmbench.transfer.dense.detection.settings import DetectionSettings

WHOLE = 5  # freeze_at: every stage


def has_strides(arch: str, options: Options = NO_OPTIONS) -> bool:
    """Return whether timm offers maps of the strides 4, 8, 16 and 32, and no coarser ones."""
    try:
        with torch.random.fork_rng(devices=[]):  # asking must not change what is drawn later
            strides = [level.stride for level in feature_maps(arch, "detection", options)]
    except UserError:
        return False
    return [stride for stride in strides if stride >= 4] == [4, 8, 16, 32]


def configure_timm(
    cfg: CfgNode,
    card: ModelCard,
    settings: DetectionSettings,
    *,
    builder: str,
    finest_stride: int,
    bfloat16: bool = False,
) -> None:
    """Set timm's network as the backbone.

    Args:
        builder: name in Detectron2's registry of backbones.
        finest_stride: of the finest map that is used.

    Raises:
        UserError: settings that only Detectron2's ResNets have.
    """
    if settings.freeze_at not in (0, WHOLE):
        raise UserError(
            f"freeze_at {settings.freeze_at} counts the stages of a plain ResNet; with '{card.arch}' use "
            f"--set freeze_at={WHOLE}, which freezes the whole backbone, or 0"
        )
    if settings.backbone_norm == "frozen_bn" and not settings.freeze_at:
        raise UserError(
            f"backbone_norm frozen_bn is for plain ResNets; with '{card.arch}' use "
            f"--set backbone_norm=syncbn, or --set freeze_at={WHOLE} to freeze the whole backbone"
        )
    cfg.MODEL.BACKBONE.NAME = builder
    cfg.MODEL.TIMM = CfgNode(
        {
            "ARCH": card.arch,
            "OPTIONS": CfgNode(dict(card.arch_options)),
            "FINEST_STRIDE": finest_stride,
            "BFLOAT16": bfloat16,
            "NORM": settings.backbone_norm,
        }
    )
