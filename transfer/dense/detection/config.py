"""From a protocol's settings and a backbone's card to Detectron2's configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from detectron2.config import CfgNode, get_cfg

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import ModelCard
from mmbench.checkpoints.networks.options import NO_OPTIONS, Options, in_words
from mmbench.device import NO_BFLOAT16, has_bfloat16
from mmbench.errors import UserError
from mmbench.settings.types import legacy_seed
from mmbench.transfer.dense.common.library_keys import apply_library
from mmbench.transfer.dense.common.notes import filtered_images
from mmbench.transfer.dense.detection import models  # noqa: F401  (registers them with Detectron2)
from mmbench.transfer.dense.detection.detectors.norms import norm_note
from mmbench.transfer.dense.detection.detectors.registry import DETECTORS
from mmbench.transfer.dense.detection.settings import DetectionSettings

# Detector -> what takes its place where it does not take the architecture.
STAND_INS = {"auto": ("c4", "pyramid"), "fpn": ("fpn", "pyramid")}


@dataclass(frozen=True)
class RunFacts:
    """What of a configuration depends on the run and not on the protocol.

    Attributes:
        classes: number of classes, without background.
        datasets: catalog names of the train and test split.
        weights: the file that holds the backbone.
        output: folder of logs.
        keypoints: number of keypoints of a class.
        workers: processes that load data.
        bitmasks: masks are given as bitmaps (RLE) and not as polygons.
        mixed_precision: train with automatic mixed precision.
        mirrored: mirror half of the training images, as Detectron2 does unless its own key says otherwise.
    """

    classes: int
    datasets: tuple[str, str]
    weights: Path
    output: Path
    device: torch.device
    seed: int
    keypoints: int = 0
    workers: int = 0
    bitmasks: bool = False
    mixed_precision: bool = False
    mirrored: bool = True


def choose_detector(arch: str, settings: DetectionSettings, options: Options = NO_OPTIONS) -> str:
    """Return the name of the detector for this architecture, built with these options.

    Raises:
        UserError: the protocol demands a detector that does not take the architecture.
    """
    for name in STAND_INS.get(settings.detector, (settings.detector,)):
        if DETECTORS.get(name).fits(arch, options):
            return name
    detector = DETECTORS.get(settings.detector if settings.detector != "auto" else "pyramid")
    how = f" with {in_words(options)}" if options else ""
    raise UserError(
        f"detector {detector.name} takes {detector.takes}, not '{arch}'{how}; "
        "use detection/patterns@1 or the setting detector=pyramid"
    )


def write_weights(
    backbone: Backbone, folder: Path, settings: DetectionSettings, device: torch.device
) -> tuple[Path, list[str]]:
    """Write the backbone for the detector that it gets; return the file and the notes on both.

    Raises:
        UserError: the detector does not take the architecture, or the backbone does not cover it.
    """
    name = choose_detector(backbone.arch, settings, backbone.card.arch_options)
    detector = DETECTORS.get(name)
    path, notes = detector.write_weights(backbone, folder, settings)
    frozen = {0: "every layer trained", 1: "the stem frozen", 5: "the whole backbone frozen"}
    trained = frozen.get(settings.freeze_at, f"stem to res{settings.freeze_at} frozen")
    lines = [f"detector: {name}, {detector.title(settings)}, {trained}"]
    if name != settings.detector and settings.detector != "auto":
        asked = DETECTORS.get(settings.detector)
        lines.append(f"{name} in place of {asked.name}, which takes {asked.takes}")
    if name == "pyramid" and getattr(settings, "pyramid_bfloat16", False) and not has_bfloat16(device):
        lines.append(NO_BFLOAT16)
    lines += [*notes, norm_note(settings), *filtered_images(backbone.card.preprocessing)]
    return path, lines


def build_config(card: ModelCard, settings: DetectionSettings, facts: RunFacts) -> CfgNode:
    """Return the frozen configuration.

    Raises:
        UserError: the architecture does not fit the detector, or a key of the library is unknown.
    """
    cfg = get_cfg()
    _run(cfg, facts)
    _schedule(cfg, settings)
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = settings.train_sizes, settings.test_size
    cfg.INPUT.MAX_SIZE_TRAIN = settings.max_size
    cfg.INPUT.MAX_SIZE_TEST = settings.test_max_size or settings.max_size
    cfg.MODEL.MASK_ON, cfg.MODEL.KEYPOINT_ON = settings.masks, settings.keypoints
    cfg.MODEL.BACKBONE.FREEZE_AT = settings.freeze_at
    _preprocessing(cfg, card)
    name = choose_detector(card.arch, settings, card.arch_options)
    cfg.MODEL.MMBENCH = CfgNode({"DETECTOR": name})
    cfg.MODEL.META_ARCHITECTURE = "MMBenchRCNN"
    DETECTORS.get(name).configure(cfg, card, settings)
    apply_library(cfg, settings.library, "Detectron2")
    cfg.freeze()
    return cfg


def _run(cfg: CfgNode, facts: RunFacts) -> None:
    cfg.OUTPUT_DIR, cfg.SEED, cfg.MODEL.DEVICE = str(facts.output), legacy_seed(facts.seed), str(facts.device)
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (facts.datasets[0],), (facts.datasets[1],)
    cfg.DATALOADER.NUM_WORKERS = facts.workers
    cfg.INPUT.MASK_FORMAT = "bitmask" if facts.bitmasks else "polygon"
    cfg.MODEL.WEIGHTS = str(facts.weights)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = cfg.MODEL.RETINANET.NUM_CLASSES = facts.classes
    if facts.keypoints:
        cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS = facts.keypoints
    cfg.SOLVER.AMP.ENABLED = facts.mixed_precision
    if not facts.mirrored:
        cfg.INPUT.RANDOM_FLIP = "none"


def _schedule(cfg: CfgNode, settings: DetectionSettings) -> None:
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.MAX_ITER = settings.batch_size, settings.iterations
    cfg.SOLVER.BASE_LR, cfg.SOLVER.WEIGHT_DECAY = settings.learning_rate, settings.weight_decay
    cfg.SOLVER.OPTIMIZER = settings.optimizer
    cfg.SOLVER.BACKBONE_LR_FACTOR = settings.backbone_lr_factor
    cfg.SOLVER.STEPS, cfg.SOLVER.WARMUP_ITERS = settings.decay_at, settings.warmup_iterations
    cfg.TEST.PRECISE_BN.ENABLED = settings.precise_bn_iterations > 0
    cfg.TEST.PRECISE_BN.NUM_ITER = settings.precise_bn_iterations


def _preprocessing(cfg: CfgNode, card: ModelCard) -> None:
    """Feed RGB as the card says; Detectron2 counts from 0 to 255."""
    cfg.INPUT.FORMAT = "RGB"
    cfg.MODEL.PIXEL_MEAN = [255 * value for value in card.preprocessing.mean]
    cfg.MODEL.PIXEL_STD = [255 * value for value in card.preprocessing.std]
    high_pass = card.preprocessing.high_pass
    cfg.MODEL.HIGH_PASS = CfgNode(
        {
            "ENABLED": high_pass is not None,
            "KERNEL_SIZE": high_pass.kernel_size if high_pass else 0,
            "SIGMA": high_pass.sigma if high_pass else 0.0,
        }
    )
