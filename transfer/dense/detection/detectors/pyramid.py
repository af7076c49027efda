"""The levels of a timm network with light heads: what trains in minutes on small images."""

from __future__ import annotations

from pathlib import Path

from detectron2.config import CfgNode

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import ModelCard
from mmbench.checkpoints.networks.options import NO_OPTIONS, Options
from mmbench.transfer.dense.common.notes import unused_tensors
from mmbench.transfer.dense.detection.detector_settings import C4OrPyramidSettings, RegionSettings
from mmbench.transfer.dense.detection.detectors.norms import norm_name
from mmbench.transfer.dense.detection.detectors.regions import configure_regions
from mmbench.transfer.dense.detection.detectors.registry import DETECTORS, Detector
from mmbench.transfer.dense.detection.detectors.timm_maps import configure_timm
from mmbench.transfer.dense.detection.models import TimmBackbone
from mmbench.transfer.dense.detection.weights import write_timm_weights


class Pyramid(Detector[RegionSettings]):
    """One level as it is, several under a light FPN; a box head with an extra norm."""

    name = "pyramid"
    takes = "any ConvNet of timm with feature maps"

    def fits(self, arch: str, options: Options = NO_OPTIONS) -> bool:
        """Return True: whether timm has feature maps is found out when the network is built."""
        return True

    def configure(self, cfg: CfgNode, card: ModelCard, settings: RegionSettings) -> None:
        """Set backbone, heads and anchors."""
        own = pyramid_settings(settings)
        stride, options = own.pyramid_finest_stride, card.arch_options
        configure_timm(
            cfg,
            card,
            own,
            builder="build_mmbench_timm",
            finest_stride=stride,
            bfloat16=own.pyramid_bfloat16,
        )
        configure_regions(cfg, own)
        model = cfg.MODEL
        model.FPN.OUT_CHANNELS = own.pyramid_channels
        shapes = TimmBackbone(card.arch, stride, options=options).output_shape()
        strides = [shape.stride for shape in shapes.values()]
        levels = [f"p{stride.bit_length() - 1}" for stride in strides] if len(strides) > 1 else list(shapes)
        model.RPN.IN_FEATURES = model.ROI_HEADS.IN_FEATURES = levels
        model.RPN.CONV_DIMS = [own.pyramid_channels]
        model.ANCHOR_GENERATOR.SIZES = [
            [scale * stride for scale in own.pyramid_anchor_scales] for stride in strides
        ]
        model.ROI_HEADS.NAME = "StandardROIHeads"
        model.ROI_BOX_HEAD.NAME = "MMBenchBoxHead"
        model.ROI_BOX_HEAD.NORM = model.ROI_MASK_HEAD.NORM = norm_name("syncbn")
        model.ROI_BOX_HEAD.POOLER_RESOLUTION = own.pyramid_box_bins
        model.ROI_BOX_HEAD.FC_DIM = own.pyramid_box_width
        model.ROI_MASK_HEAD.NAME, model.ROI_MASK_HEAD.NUM_CONV = "MaskRCNNConvUpsampleHead", 2
        model.ROI_MASK_HEAD.CONV_DIM, model.ROI_MASK_HEAD.POOLER_RESOLUTION = own.pyramid_channels, 14

    def write_weights(
        self, backbone: Backbone, folder: Path, settings: RegionSettings
    ) -> tuple[Path, tuple[str, ...]]:
        """Write the network under the names of TimmBackbone."""
        own = pyramid_settings(settings)
        path, unused = write_timm_weights(backbone, folder, own.pyramid_finest_stride)
        return path, tuple(unused_tensors(unused))


def pyramid_settings(settings: RegionSettings) -> C4OrPyramidSettings:
    """Return settings of the pyramid; where it stands in for the fpn, its own are at their defaults."""
    if isinstance(settings, C4OrPyramidSettings):
        return settings
    shared = {name: getattr(settings, name) for name in RegionSettings.model_fields if name != "detector"}
    return C4OrPyramidSettings.model_construct(detector="pyramid", **shared)


DETECTORS.register("pyramid")(Pyramid())
