"""From a protocol's settings and a backbone's card to Detectron2's configuration."""

from __future__ import annotations

from pathlib import Path

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.utils import comm

from mmbench.checkpoints.card import ModelCard
from mmbench.checkpoints.options import NO_OPTIONS, Options, in_words
from mmbench.errors import UserError
from mmbench.settings_types import legacy_seed
from mmbench.transfer.dense.common.architectures import plain_resnet_depth
from mmbench.transfer.dense.detection import models  # noqa: F401  (registers them with Detectron2)
from mmbench.transfer.dense.detection.models import TimmBackbone
from mmbench.transfer.dense.detection.settings import DetectionSettings


def choose_detector(arch: str, settings: DetectionSettings, options: Options = NO_OPTIONS) -> str:
    """Return "c4" or "pyramid" for this architecture, built with these options.

    Raises:
        UserError: the protocol demands c4 and the architecture is not a plain ResNet.
    """
    depth = plain_resnet_depth(arch, options)
    if settings.detector == "c4" and depth is None:
        how = f" with {in_words(options)}" if options else ""
        raise UserError(
            f"detector c4 takes a plain ResNet of 18, 34, 50 or 101 layers, not '{arch}'{how}; "
            "use detection/patterns@1 or the setting detector=pyramid"
        )
    if settings.detector == "auto":
        return "pyramid" if depth is None else "c4"
    return settings.detector


def build_config(
    card: ModelCard,
    settings: DetectionSettings,
    *,
    classes: int,
    datasets: tuple[str, str],
    weights: Path,
    output: Path,
    device: torch.device,
    seed: int,
) -> CfgNode:
    """Return the frozen configuration; `datasets` are the catalog names of the train and test split.

    Raises:
        UserError: the architecture does not fit the detector.
    """
    preprocessing = card.preprocessing
    cfg = get_cfg()
    cfg.OUTPUT_DIR, cfg.SEED, cfg.MODEL.DEVICE = str(output), legacy_seed(seed), str(device)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (datasets[0],), (datasets[1],)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.INPUT.FORMAT = "RGB"
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = settings.train_sizes, settings.test_size
    cfg.INPUT.MAX_SIZE_TRAIN = cfg.INPUT.MAX_SIZE_TEST = settings.max_size

    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER = settings.batch_size, settings.iterations
    cfg.SOLVER.BASE_LR, cfg.SOLVER.WEIGHT_DECAY = settings.learning_rate, settings.weight_decay
    cfg.SOLVER.OPTIMIZER = settings.optimizer
    cfg.SOLVER.BACKBONE_LR_FACTOR = settings.backbone_lr_factor
    cfg.SOLVER.STEPS, cfg.SOLVER.WARMUP_ITERS = settings.decay_at, settings.warmup_iterations
    cfg.TEST.PRECISE_BN.ENABLED = settings.precise_bn_iterations > 0
    cfg.TEST.PRECISE_BN.NUM_ITER = settings.precise_bn_iterations

    model = cfg.MODEL
    model.META_ARCHITECTURE, model.WEIGHTS, model.MASK_ON = "MMBenchRCNN", str(weights), settings.masks
    model.PIXEL_MEAN = [255 * value for value in preprocessing.mean]
    model.PIXEL_STD = [255 * value for value in preprocessing.std]
    high_pass = preprocessing.high_pass
    model.HIGH_PASS = CfgNode(
        {
            "ENABLED": high_pass is not None,
            "KERNEL_SIZE": high_pass.kernel_size if high_pass else 0,
            "SIGMA": high_pass.sigma if high_pass else 0.0,
        }
    )
    model.ROI_HEADS.NUM_CLASSES = classes
    model.ROI_HEADS.BATCH_SIZE_PER_IMAGE = settings.roi_batch
    model.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO = settings.roi_samples
    model.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO = settings.roi_samples
    model.ROI_HEADS.POSITIVE_FRACTION = settings.roi_positive_share
    model.RPN.BATCH_SIZE_PER_IMAGE = settings.rpn_batch
    model.RPN.PRE_NMS_TOPK_TRAIN, model.RPN.POST_NMS_TOPK_TRAIN = settings.train_proposals
    model.RPN.PRE_NMS_TOPK_TEST, model.RPN.POST_NMS_TOPK_TEST = settings.test_proposals
    if choose_detector(card.arch, settings, card.arch_options) == "c4":
        _c4(cfg, plain_resnet_depth(card.arch, card.arch_options) or 0, settings)
    else:
        _pyramid(cfg, card, settings)
    cfg.freeze()
    return cfg


def _c4(cfg: CfgNode, depth: int, settings: DetectionSettings) -> None:
    """MoCo's C4 detector (facebookresearch/moco, detection/configs/Base-RCNN-C4-BN.yaml), any depth."""
    model = cfg.MODEL
    model.BACKBONE.NAME, model.BACKBONE.FREEZE_AT = "build_resnet_backbone", 0
    model.RESNETS.DEPTH = depth
    model.RESNETS.RES2_OUT_CHANNELS = 64 if depth < 50 else 256
    model.RESNETS.NORM = "SyncBN" if comm.get_world_size() > 1 else "BN"
    model.RESNETS.STRIDE_IN_1X1 = False
    model.RESNETS.OUT_FEATURES = ["res4"]
    model.RPN.IN_FEATURES = model.ROI_HEADS.IN_FEATURES = ["res4"]
    model.ROI_HEADS.NAME = "MMBenchRes5ROIHeads"
    model.ROI_BOX_HEAD.POOLER_RESOLUTION = 14
    model.ROI_MASK_HEAD.NAME, model.ROI_MASK_HEAD.NUM_CONV = "MaskRCNNConvUpsampleHead", 0
    model.ANCHOR_GENERATOR.SIZES = [list(settings.c4_anchor_sizes)]


def _pyramid(cfg: CfgNode, card: ModelCard, settings: DetectionSettings) -> None:
    """The levels of a timm network with light heads: what trains in minutes on small images."""
    model = cfg.MODEL
    model.TIMM = CfgNode(
        {
            "ARCH": card.arch,
            "OPTIONS": CfgNode(dict(card.arch_options)),
            "FINEST_STRIDE": settings.pyramid_finest_stride,
            "BFLOAT16": settings.pyramid_bfloat16,
        }
    )
    model.BACKBONE.NAME = "build_mmbench_timm"
    model.FPN.OUT_CHANNELS = settings.pyramid_channels
    shapes = TimmBackbone(card.arch, settings.pyramid_finest_stride, options=card.arch_options).output_shape()
    strides = [shape.stride for shape in shapes.values()]
    levels = [f"p{stride.bit_length() - 1}" for stride in strides] if len(strides) > 1 else list(shapes)
    model.RPN.IN_FEATURES = model.ROI_HEADS.IN_FEATURES = levels
    model.RPN.CONV_DIMS = [settings.pyramid_channels]
    model.ANCHOR_GENERATOR.SIZES = [
        [scale * stride for scale in settings.pyramid_anchor_scales] for stride in strides
    ]
    model.ROI_HEADS.NAME = "StandardROIHeads"
    model.ROI_BOX_HEAD.NAME = "MMBenchBoxHead"
    model.ROI_BOX_HEAD.POOLER_RESOLUTION = settings.pyramid_box_bins
    model.ROI_BOX_HEAD.FC_DIM = settings.pyramid_box_width
    model.ROI_MASK_HEAD.NAME, model.ROI_MASK_HEAD.NUM_CONV = "MaskRCNNConvUpsampleHead", 2
    model.ROI_MASK_HEAD.NORM = "BN"
    model.ROI_MASK_HEAD.CONV_DIM, model.ROI_MASK_HEAD.POOLER_RESOLUTION = settings.pyramid_channels, 14
