"""What detectors on Detectron2's own ResNet share."""

from __future__ import annotations

from detectron2.config import CfgNode

from mmbench.checkpoints.card import ModelCard
from mmbench.transfer.dense.common.architectures import plain_resnet_depth
from mmbench.transfer.dense.detection.detectors.norms import norm_name
from mmbench.transfer.dense.detection.settings import DetectionSettings


def configure_resnet(
    cfg: CfgNode, card: ModelCard, settings: DetectionSettings, out_features: list[str]
) -> None:
    """Set Detectron2's ResNet as torchvision builds it: the 3 x 3 convolution carries the stride.

    Args:
        out_features: stages that are handed on, such as "res4".
    """
    resnets = cfg.MODEL.RESNETS
    resnets.DEPTH = plain_resnet_depth(card.arch, card.arch_options) or 0
    resnets.RES2_OUT_CHANNELS = 64 if resnets.DEPTH < 50 else 256
    resnets.NORM = norm_name(settings.backbone_norm)
    resnets.STRIDE_IN_1X1 = False
    resnets.OUT_FEATURES = out_features
