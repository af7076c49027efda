"""RetinaNet (Lin et al. 2017; configs/Base-RetinaNet.yaml)."""

from __future__ import annotations

from pathlib import Path

from detectron2.config import CfgNode
from torch import nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import ModelCard
from mmbench.checkpoints.networks.options import NO_OPTIONS, Options
from mmbench.transfer.dense.common.architectures import plain_resnet_depth
from mmbench.transfer.dense.common.notes import unused_tensors
from mmbench.transfer.dense.detection.detector_settings import RetinaNetSettings
from mmbench.transfer.dense.detection.detectors.norms import norm_name
from mmbench.transfer.dense.detection.detectors.registry import DETECTORS, Detector
from mmbench.transfer.dense.detection.detectors.resnets import configure_resnet
from mmbench.transfer.dense.detection.detectors.timm_maps import configure_timm, has_strides
from mmbench.transfer.dense.detection.weights import write_resnet_weights, write_timm_weights

STAGES = ["res3", "res4", "res5"]


class RetinaNetDetector(Detector[RetinaNetSettings]):
    """One stage: scores and boxes for every anchor of the levels p3 to p7."""

    name = "retinanet"
    takes = "ConvNets with feature maps of strides 4, 8, 16 and 32"

    def fits(self, arch: str, options: Options = NO_OPTIONS) -> bool:
        """Return whether it is a plain ResNet, or timm has maps of the four strides."""
        return plain_resnet_depth(arch, options) is not None or has_strides(arch, options)

    def title(self, settings: RetinaNetSettings) -> str:
        """Return the detector's name for records."""
        return "RetinaNet"

    def configure(self, cfg: CfgNode, card: ModelCard, settings: RetinaNetSettings) -> None:
        """Set backbone, FPN, head and anchors."""
        model = cfg.MODEL
        model.META_ARCHITECTURE = "MMBenchRetinaNet"
        if plain_resnet_depth(card.arch, card.arch_options) is not None:
            configure_resnet(cfg, card, settings, STAGES)
            model.BACKBONE.NAME = "build_retinanet_resnet_fpn_backbone"
            model.FPN.IN_FEATURES = STAGES
        else:
            configure_timm(cfg, card, settings, builder="build_mmbench_timm_retinanet_fpn", finest_stride=8)
        model.FPN.NORM, model.FPN.OUT_CHANNELS = norm_name(settings.fpn_norm), settings.fpn_channels
        octave = [2 ** (step / settings.anchor_scales) for step in range(settings.anchor_scales)]
        model.ANCHOR_GENERATOR.SIZES = [[size * scale for scale in octave] for size in settings.anchor_sizes]
        model.ANCHOR_GENERATOR.ASPECT_RATIOS = [list(settings.anchor_ratios)]
        head = model.RETINANET
        head.NUM_CONVS, head.NORM = settings.head_convs, norm_name(settings.head_norm)
        head.IOU_THRESHOLDS, head.IOU_LABELS = list(settings.iou_thresholds), [0, -1, 1]
        head.SMOOTH_L1_LOSS_BETA = settings.smooth_l1_beta

    def write_weights(
        self, backbone: Backbone, folder: Path, settings: RetinaNetSettings
    ) -> tuple[Path, tuple[str, ...]]:
        """Write the backbone under the names of Detectron2's ResNet or of TimmBackbone."""
        if plain_resnet_depth(backbone.arch, backbone.card.arch_options) is not None:
            return write_resnet_weights(backbone, folder), ()
        path, unused = write_timm_weights(backbone, folder, 8)
        return path, tuple(unused_tensors(unused))

    def score_heads(self, model: nn.Module) -> tuple[nn.Module, ...]:
        """Return the one head."""
        return (model.get_submodule("head"),)


DETECTORS.register("retinanet")(RetinaNetDetector())
