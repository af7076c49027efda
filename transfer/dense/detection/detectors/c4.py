"""MoCo's C4 detector (facebookresearch/moco, detection/configs/Base-RCNN-C4-BN.yaml), of any depth."""

from __future__ import annotations

from pathlib import Path

from detectron2.config import CfgNode

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import ModelCard
from mmbench.checkpoints.networks.options import NO_OPTIONS, Options
from mmbench.checkpoints.networks.plain import COUNTER
from mmbench.transfer.dense.common.architectures import plain_resnet_depth
from mmbench.transfer.dense.detection.detector_settings import C4OrPyramidSettings
from mmbench.transfer.dense.detection.detectors.regions import configure_regions
from mmbench.transfer.dense.detection.detectors.registry import DETECTORS, Detector
from mmbench.transfer.dense.detection.detectors.resnets import configure_resnet
from mmbench.transfer.dense.detection.weights import write_resnet_weights

HEAD, NEW_NORM = "roi_heads.res5.", "roi_heads.res5.norm."


class C4(Detector[C4OrPyramidSettings]):
    """A ResNet up to res4 makes proposals; res5 and a new norm run on every region."""

    name = "c4"
    takes = "a plain ResNet of 18, 34, 50 or 101 layers"

    def fits(self, arch: str, options: Options = NO_OPTIONS) -> bool:
        """Return whether it is a plain ResNet."""
        return plain_resnet_depth(arch, options) is not None

    def configure(self, cfg: CfgNode, card: ModelCard, settings: C4OrPyramidSettings) -> None:
        """Set backbone, heads and anchors."""
        configure_resnet(cfg, card, settings, ["res4"])
        configure_regions(cfg, settings)
        model = cfg.MODEL
        model.BACKBONE.NAME = "build_resnet_backbone"
        model.RPN.IN_FEATURES = model.ROI_HEADS.IN_FEATURES = ["res4"]
        model.ROI_HEADS.NAME = "MMBenchRes5ROIHeads"
        model.ROI_BOX_HEAD.POOLER_RESOLUTION = 14
        model.ROI_MASK_HEAD.NAME, model.ROI_MASK_HEAD.NUM_CONV = "MaskRCNNConvUpsampleHead", 0
        model.ANCHOR_GENERATOR.SIZES = [list(settings.c4_anchor_sizes)]

    def write_weights(
        self, backbone: Backbone, folder: Path, settings: C4OrPyramidSettings
    ) -> tuple[Path, tuple[str, ...]]:
        """Write the ResNet under Detectron2's names."""
        return write_resnet_weights(backbone, folder), ()

    def from_backbone(self, place: str) -> bool:
        """Return whether a tensor must come from the checkpoint: res5 is in the heads."""
        if place.startswith(HEAD):
            return not place.startswith(NEW_NORM) and not place.endswith(COUNTER)
        return super().from_backbone(place)


DETECTORS.register("c4")(C4())
