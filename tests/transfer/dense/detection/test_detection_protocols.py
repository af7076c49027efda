"""Every published value on the built Detectron2 configuration; the table here is written from the sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode, get_cfg

from mmbench.checkpoints.card import ModelCard, Preprocessing
from mmbench.tasks import TASKS
from mmbench.transfer.dense.detection.config import RunFacts, build_config
from mmbench.transfer.dense.detection.settings import DetectionSettings
from mmbench.transfer.protocol import protocols
from mmbench.transfer.resolution import resolve_task

COCO_SIZES = (640, 672, 704, 736, 768, 800)
VOC_SIZES = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
THIRD = 2 ** (1 / 3)

# Common to the "_moco" files: images as torchvision normalises them, nothing frozen, PreciseBN.
COMMON: dict[str, Any] = {
    "INPUT.FORMAT": "RGB",
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": "choice",
    "INPUT.RANDOM_FLIP": "horizontal",
    "MODEL.PIXEL_MEAN": [123.675, 116.28, 103.53],
    "MODEL.PIXEL_STD": [58.395, 57.12, 57.375],
    "MODEL.RESNETS.DEPTH": 50,
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
    "MODEL.RESNETS.NORM": "SyncBN",
    "MODEL.RESNETS.RES2_OUT_CHANNELS": 256,
    "MODEL.BACKBONE.FREEZE_AT": 0,
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [[0.5, 1.0, 2.0]],
    "TEST.PRECISE_BN.ENABLED": True,
    "TEST.PRECISE_BN.NUM_ITER": 200,
    "TEST.DETECTIONS_PER_IMAGE": 100,
    "SOLVER.MOMENTUM": 0.9,
    "SOLVER.NESTEROV": False,
    "SOLVER.WEIGHT_DECAY": 1e-4,
    "SOLVER.WEIGHT_DECAY_NORM": 0.0,
    "SOLVER.GAMMA": 0.1,
    "SOLVER.WARMUP_FACTOR": 1e-3,
    "SOLVER.WARMUP_METHOD": "linear",
    "SOLVER.CLIP_GRADIENTS.ENABLED": False,
    "SOLVER.LR_SCHEDULER_NAME": "WarmupMultiStepLR",
    "DATALOADER.ASPECT_RATIO_GROUPING": True,
    "DATALOADER.FILTER_EMPTY_ANNOTATIONS": True,
}
REGIONS: dict[str, Any] = {
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": 256,
    "MODEL.RPN.POSITIVE_FRACTION": 0.5,
    "MODEL.RPN.NMS_THRESH": 0.7,
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": 512,
    "MODEL.ROI_HEADS.POSITIVE_FRACTION": 0.25,
    "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.05,
    "MODEL.ROI_HEADS.NMS_THRESH_TEST": 0.5,
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": "ROIAlignV2",
    "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": 0,
}
C4: dict[str, Any] = {
    "MODEL.BACKBONE.NAME": "build_resnet_backbone",
    "MODEL.RESNETS.OUT_FEATURES": ["res4"],
    "MODEL.ROI_HEADS.NAME": "MMBenchRes5ROIHeads",
    "MODEL.ROI_HEADS.IN_FEATURES": ["res4"],
    "MODEL.RPN.IN_FEATURES": ["res4"],
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 12000,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 2000,
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 6000,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 1000,
    "MODEL.ANCHOR_GENERATOR.SIZES": [[32, 64, 128, 256, 512]],
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 14,
    "MODEL.ROI_MASK_HEAD.NUM_CONV": 0,
}
FPN: dict[str, Any] = {
    "MODEL.BACKBONE.NAME": "build_resnet_fpn_backbone",
    "MODEL.RESNETS.OUT_FEATURES": ["res2", "res3", "res4", "res5"],
    "MODEL.FPN.IN_FEATURES": ["res2", "res3", "res4", "res5"],
    "MODEL.FPN.OUT_CHANNELS": 256,
    "MODEL.FPN.NORM": "SyncBN",
    "MODEL.RPN.IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"],
    "MODEL.ROI_HEADS.NAME": "StandardROIHeads",
    "MODEL.ROI_HEADS.IN_FEATURES": ["p2", "p3", "p4", "p5"],
    "MODEL.ANCHOR_GENERATOR.SIZES": [[32], [64], [128], [256], [512]],
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": 2000,
    "MODEL.RPN.PRE_NMS_TOPK_TEST": 1000,
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": 1000,
    "MODEL.RPN.POST_NMS_TOPK_TEST": 1000,
    "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
    "MODEL.ROI_BOX_HEAD.NUM_CONV": 0,
    "MODEL.ROI_BOX_HEAD.NUM_FC": 2,
    "MODEL.ROI_BOX_HEAD.FC_DIM": 1024,
    "MODEL.ROI_BOX_HEAD.NORM": "",
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": 0.0,
    "MODEL.ROI_MASK_HEAD.NAME": "MaskRCNNConvUpsampleHead",
    "MODEL.ROI_MASK_HEAD.NUM_CONV": 4,
    "MODEL.ROI_MASK_HEAD.NORM": "",
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": 14,
}
FOUR_CONVOLUTIONS: dict[str, Any] = {
    "MODEL.ROI_BOX_HEAD.NUM_CONV": 4,
    "MODEL.ROI_BOX_HEAD.CONV_DIM": 256,
    "MODEL.ROI_BOX_HEAD.NUM_FC": 1,
    "MODEL.ROI_BOX_HEAD.NORM": "SyncBN",
    "MODEL.ROI_MASK_HEAD.NORM": "SyncBN",
}
RETINANET: dict[str, Any] = {
    "MODEL.META_ARCHITECTURE": "MMBenchRetinaNet",
    "MODEL.BACKBONE.NAME": "build_retinanet_resnet_fpn_backbone",
    "MODEL.RESNETS.OUT_FEATURES": ["res3", "res4", "res5"],
    "MODEL.FPN.IN_FEATURES": ["res3", "res4", "res5"],
    "MODEL.FPN.NORM": "SyncBN",
    "MODEL.FPN.OUT_CHANNELS": 256,
    "MODEL.ANCHOR_GENERATOR.SIZES": [
        [size, size * THIRD, size * THIRD**2] for size in (32, 64, 128, 256, 512)
    ],
    "MODEL.RETINANET.IN_FEATURES": ["p3", "p4", "p5", "p6", "p7"],
    "MODEL.RETINANET.IOU_THRESHOLDS": [0.4, 0.5],
    "MODEL.RETINANET.IOU_LABELS": [0, -1, 1],
    "MODEL.RETINANET.SMOOTH_L1_LOSS_BETA": 0.0,
    "MODEL.RETINANET.NUM_CONVS": 4,
    "MODEL.RETINANET.NORM": "",
    "MODEL.RETINANET.PRIOR_PROB": 0.01,
    "MODEL.RETINANET.FOCAL_LOSS_GAMMA": 2.0,
    "MODEL.RETINANET.FOCAL_LOSS_ALPHA": 0.25,
    "MODEL.RETINANET.SCORE_THRESH_TEST": 0.05,
    "MODEL.RETINANET.NMS_THRESH_TEST": 0.5,
}
MASKS = {"MODEL.MASK_ON": True, "MODEL.KEYPOINT_ON": False}
NO_MASKS = {"MODEL.MASK_ON": False, "MODEL.KEYPOINT_ON": False}


def sizes(train: tuple[int, ...], test: int, largest: int, largest_test: int | None = None) -> dict[str, Any]:
    return {
        "INPUT.MIN_SIZE_TRAIN": train,
        "INPUT.MIN_SIZE_TEST": test,
        "INPUT.MAX_SIZE_TRAIN": largest,
        "INPUT.MAX_SIZE_TEST": largest_test or largest,
    }


def schedule(iterations: int, *drops: int, rate: float = 0.02, warmup: int = 1000, batch: int = 16) -> Any:
    return {
        "SOLVER.MAX_ITER": iterations,
        "SOLVER.STEPS": drops,
        "SOLVER.BASE_LR": rate,
        "SOLVER.WARMUP_ITERS": warmup,
        "SOLVER.IMS_PER_BATCH": batch,
    }


ON_COCO = COMMON | REGIONS | sizes(COCO_SIZES, 800, 1333)
VOC24K = (
    COMMON | REGIONS | C4 | NO_MASKS | sizes(VOC_SIZES, 800, 1333) | schedule(24000, 18000, 22000, warmup=100)
)
ONE_X, TWO_X = schedule(90000, 60000, 80000), schedule(180000, 120000, 160000)
TWELVE_K = schedule(12000, 9000, 11000)
# Protocol -> (expected configuration, metric, split, evaluation).
TABLE: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "voc-c4-24k@1": (VOC24K, "AP", "test", "coco"),
    "voc-c4-24k@2": (VOC24K, "AP", "test", "voc2007"),
    "coco-c4-1x@1": (ON_COCO | C4 | MASKS | ONE_X, "AP", "val", "coco"),
    "coco-c4-1x@2": (ON_COCO | C4 | MASKS | ONE_X, "AP", "val", "coco"),
    "coco-c4-2x@1": (ON_COCO | C4 | MASKS | TWO_X, "AP", "val", "coco"),
    "coco-c4-12k@1": (
        ON_COCO | C4 | MASKS | TWELVE_K | sizes(COCO_SIZES, 800, 1200, 1333),
        "AP",
        "val",
        "coco",
    ),
    "coco-fpn-12k-plain@1": (ON_COCO | FPN | MASKS | TWELVE_K, "AP", "val", "coco"),
    "coco-fpn-1x-plain@1": (ON_COCO | FPN | MASKS | ONE_X, "AP", "val", "coco"),
    "coco-fpn-2x-plain@1": (ON_COCO | FPN | MASKS | TWO_X, "AP", "val", "coco"),
    "coco-fpn-1x-4conv@1": (ON_COCO | FPN | MASKS | ONE_X | FOUR_CONVOLUTIONS, "AP", "val", "coco"),
    "coco-retinanet-1x@1": (
        COMMON
        | sizes(COCO_SIZES, 800, 1333)
        | RETINANET
        | NO_MASKS
        | schedule(90000, 60000, 80000, rate=0.01),
        "AP",
        "val",
        "coco",
    ),
    "coco-keypoint-2x@1": (
        ON_COCO
        | FPN
        | TWO_X
        | {
            "MODEL.MASK_ON": False,
            "MODEL.KEYPOINT_ON": True,
            "MODEL.RPN.POST_NMS_TOPK_TRAIN": 1500,
            "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": 0.5,
            "MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS": 17,
            "MODEL.ROI_KEYPOINT_HEAD.NAME": "KRCNNConvDeconvUpsampleHead",
            "MODEL.ROI_KEYPOINT_HEAD.POOLER_RESOLUTION": 14,
            "MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS": (512,) * 8,
            "MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE": 1,
        },
        "keypoint_AP",
        "val",
        "coco",
    ),
    "cityscapes-fpn-24k@1": (
        COMMON
        | REGIONS
        | FPN
        | MASKS
        | sizes((800, 832, 864, 896, 928, 960, 992, 1024), 1024, 2048)
        | schedule(24000, 18000, rate=0.01, batch=8),
        "mask_AP",
        "val",
        "coco",
    ),
    "voc-fpn-frozen@1": (
        COMMON
        | REGIONS
        | FPN
        | NO_MASKS
        | sizes(VOC_SIZES, 800, 1333)
        | schedule(144000, 96000, 128000, rate=0.0025, warmup=100, batch=2)
        | {
            "MODEL.BACKBONE.FREEZE_AT": 4,
            "MODEL.RESNETS.NORM": "FrozenBN",
            "MODEL.FPN.NORM": "",
            "TEST.PRECISE_BN.ENABLED": False,
            "TEST.PRECISE_BN.NUM_ITER": 0,
        },
        "AP",
        "test",
        "voc2007",
    ),
}


def built(
    protocol: str, tmp_path: Path, arch: str = "resnet50", *, mirrored: bool = True, **overrides: Any
) -> CfgNode:
    settings = resolve_task("detection", f"detection/{protocol}", overrides).settings
    assert isinstance(settings, DetectionSettings)
    facts = RunFacts(
        classes=20,
        datasets=("a", "b"),
        weights=tmp_path / "none.pkl",
        output=tmp_path,
        device=torch.device("cpu"),
        seed=0,
        keypoints=17 if settings.keypoints else 0,
        mirrored=mirrored,
    )
    return build_config(ModelCard(arm="any", arch=arch, preprocessing=Preprocessing()), settings, facts)


def value_of(cfg: CfgNode, key: str) -> Any:
    node: Any = cfg
    for part in key.split("."):
        node = node[part]
    return node


def test_the_table_has_every_protocol_but_our_own() -> None:
    ours = {"patterns", "own"}
    shipped = {name for name, protocol in protocols().items() if protocol.task == "detection"}
    published = {name for name in shipped if name.partition("/")[2].partition("@")[0] not in ours}
    assert published == {f"detection/{name}" for name in TABLE}


@pytest.mark.parametrize("name", TABLE)
def test_published_values_are_in_the_built_configuration(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 8)
    expected, metric, split, evaluation = TABLE[name]
    cfg = built(name, tmp_path)
    for key, value in expected.items():
        found = value_of(cfg, key)
        if key.endswith(("PIXEL_MEAN", "PIXEL_STD")):
            assert found == pytest.approx(value), key
        elif key.endswith("SIZES"):
            assert [pytest.approx(row) for row in value] == found, key
        else:
            assert (found, type(found)) == (value, type(value)), key
    protocol = protocols()[f"detection/{name}"]
    assert (protocol.metric, protocol.split) == (metric, split)
    settings = resolve_task("detection", protocol.id).settings.model_dump()
    assert settings["evaluation"] == evaluation
    assert settings["optimizer"] == "sgd" and settings["backbone_lr_factor"] == 1


@pytest.mark.parametrize("name", TABLE)
def test_what_is_not_in_the_table_is_detectron2s_default(name: str, tmp_path: Path) -> None:
    """Nothing else was changed in passing, apart from what belongs to the run."""
    cfg, default = built(name, tmp_path), get_cfg()
    of_the_run = (
        "DATASETS.",
        "OUTPUT_DIR",
        "SEED",
        "MODEL.WEIGHTS",
        "MODEL.DEVICE",
        "DATALOADER.NUM_WORKERS",
    )
    ours = ("MODEL.HIGH_PASS.", "MODEL.MMBENCH.", "MODEL.META_ARCHITECTURE", "NUM_CLASSES")
    ours += ("SOLVER.OPTIMIZER", "SOLVER.BACKBONE_LR_FACTOR", "ROI_HEADS.NAME")
    stated = {**TABLE[name][0]}

    def leaves(node: CfgNode, prefix: str = "") -> Any:
        for key, value in node.items():
            if isinstance(value, CfgNode):
                yield from leaves(value, f"{prefix}{key}.")
            else:
                yield prefix + key, value

    usual = dict(leaves(default))
    for key, value in leaves(cfg):
        if key in stated or key.startswith(of_the_run) or any(part in key for part in ours):
            continue
        assert value == usual[key], key


def test_norms_are_bn_in_one_process_and_as_published_in_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ("MODEL.RESNETS.NORM", "MODEL.FPN.NORM", "MODEL.ROI_BOX_HEAD.NORM")

    def norms(protocol: str, **overrides: Any) -> list[str]:
        cfg = built(protocol, tmp_path, **overrides)
        return [value_of(cfg, key) for key in keys]

    assert norms("coco-fpn-1x-4conv@1") == ["BN"] * 3
    assert norms("voc-c4-24k@2", backbone_norm="naive_syncbn")[0] == "naiveSyncBN"
    assert norms("voc-fpn-frozen@1") == ["FrozenBN", "", ""]
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 8)
    assert norms("coco-fpn-1x-4conv@1") == ["SyncBN"] * 3
    assert norms("coco-fpn-1x-plain@1", backbone_norm="bn") == ["BN", "SyncBN", ""]
    assert norms("voc-fpn-frozen@1") == ["FrozenBN", "", ""]


@pytest.mark.parametrize(
    ("arch", "depth", "width"), [("resnet18", 18, 64), ("resnet34", 34, 64), ("resnet101", 101, 256)]
)
@pytest.mark.parametrize("name", ["voc-c4-24k@2", "coco-fpn-1x-plain@1", "coco-retinanet-1x@1"])
def test_other_depths_change_the_resnet_alone(
    name: str, arch: str, depth: int, width: int, tmp_path: Path
) -> None:
    deep, usual = built(name, tmp_path, arch), built(name, tmp_path)
    assert (depth, width) == (deep.MODEL.RESNETS.DEPTH, deep.MODEL.RESNETS.RES2_OUT_CHANNELS)
    deep.defrost()
    deep.MODEL.RESNETS.DEPTH, deep.MODEL.RESNETS.RES2_OUT_CHANNELS = 50, 256
    assert deep.dump() == usual.dump()


def test_every_protocol_of_detection_names_a_source_and_its_differences() -> None:
    for name, protocol in protocols().items():
        if protocol.task == "detection" and "patterns" not in name:
            assert protocol.source and protocol.differs and protocol.metric in TASKS.get("detection").metrics
            if name.endswith(tuple(TABLE)) and name not in (
                "detection/voc-c4-24k@1",
                "detection/coco-c4-1x@1",
            ):
                assert "@" in protocol.source, name  # a commit


def test_mirroring_is_left_out_unless_detectron2s_key_is_stated(tmp_path: Path) -> None:
    protocol = "coco-keypoint-2x@1"
    assert built(protocol, tmp_path, mirrored=False).INPUT.RANDOM_FLIP == "none"
    stated = {"INPUT.RANDOM_FLIP": "horizontal"}
    assert built(protocol, tmp_path, mirrored=False, library=stated).INPUT.RANDOM_FLIP == "horizontal"
