"""Faster and Mask R-CNN on Detectron2's FPN (Lin et al. 2017; configs/Base-RCNN-FPN.yaml)."""

from __future__ import annotations

from pathlib import Path

from detectron2.config import CfgNode

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import ModelCard
from mmbench.checkpoints.networks.options import NO_OPTIONS, Options
from mmbench.transfer.dense.common.architectures import plain_resnet_depth
from mmbench.transfer.dense.common.notes import unused_tensors
from mmbench.transfer.dense.detection.detector_settings import FpnSettings
from mmbench.transfer.dense.detection.detectors.norms import norm_name
from mmbench.transfer.dense.detection.detectors.regions import configure_regions
from mmbench.transfer.dense.detection.detectors.registry import DETECTORS, Detector
from mmbench.transfer.dense.detection.detectors.resnets import configure_resnet
from mmbench.transfer.dense.detection.detectors.timm_maps import configure_timm, has_strides
from mmbench.transfer.dense.detection.weights import write_resnet_weights, write_timm_weights

STAGES = ["res2", "res3", "res4", "res5"]


class Fpn(Detector[FpnSettings]):
    """Detectron2's ResNet, or timm's feature maps, under an FPN with the levels p2 to p6."""

    name = "fpn"
    takes = "ConvNets with feature maps of strides 4, 8, 16 and 32"

    def fits(self, arch: str, options: Options = NO_OPTIONS) -> bool:
        """Return whether it is a plain ResNet, or timm has maps of the four strides."""
        return plain_resnet_depth(arch, options) is not None or has_strides(arch, options)

    def configure(self, cfg: CfgNode, card: ModelCard, settings: FpnSettings) -> None:
        """Set backbone, FPN, heads and anchors."""
        model = cfg.MODEL
        if plain_resnet_depth(card.arch, card.arch_options) is not None:
            configure_resnet(cfg, card, settings, STAGES)
            model.BACKBONE.NAME = "build_resnet_fpn_backbone"
            model.FPN.IN_FEATURES = STAGES
        else:
            configure_timm(cfg, card, settings, builder="build_mmbench_timm_fpn", finest_stride=4)
        configure_regions(cfg, settings)
        model.FPN.NORM, model.FPN.OUT_CHANNELS = norm_name(settings.fpn_norm), settings.fpn_channels
        model.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
        model.ANCHOR_GENERATOR.SIZES = [list(row) for row in settings.anchor_sizes]
        model.ANCHOR_GENERATOR.ASPECT_RATIOS = [list(settings.anchor_ratios)]
        model.ROI_HEADS.NAME, model.ROI_HEADS.IN_FEATURES = "StandardROIHeads", ["p2", "p3", "p4", "p5"]
        box, mask = model.ROI_BOX_HEAD, model.ROI_MASK_HEAD
        box.NAME, box.POOLER_RESOLUTION = "FastRCNNConvFCHead", settings.box_pool
        box.NUM_CONV, box.NUM_FC, box.FC_DIM = settings.box_convs, settings.box_fcs, settings.box_width
        box.SMOOTH_L1_BETA = settings.box_smooth_l1_beta
        mask.NAME, mask.POOLER_RESOLUTION = "MaskRCNNConvUpsampleHead", settings.mask_pool
        mask.NUM_CONV = settings.mask_convs
        box.NORM = mask.NORM = norm_name(settings.head_norm)

    def write_weights(
        self, backbone: Backbone, folder: Path, settings: FpnSettings
    ) -> tuple[Path, tuple[str, ...]]:
        """Write the backbone under the names of Detectron2's ResNet or of TimmBackbone."""
        if plain_resnet_depth(backbone.arch, backbone.card.arch_options) is not None:
            return write_resnet_weights(backbone, folder), ()
        path, unused = write_timm_weights(backbone, folder, 4)
        return path, tuple(unused_tensors(unused))


DETECTORS.register("fpn")(Fpn())
