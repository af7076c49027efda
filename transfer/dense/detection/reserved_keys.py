"""Detectron2's own keys that a user may not set: they have a setting, or the run does not follow them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

# Keys that mmbench sets for the run, or that nothing in it reads, and what to use instead: another value
# would break the proof of arrival, the continuation or the record, or change nothing. Each ends a name or
# continues with a dot.
RESERVED = {
    "CUDNN_BENCHMARK": "",
    "DATALOADER.NUM_WORKERS": "--workers",
    "DATALOADER.REPEAT_SQRT": "",
    "DATALOADER.REPEAT_THRESHOLD": "",
    "DATASETS": "",
    "GLOBAL": "",
    "INPUT.FORMAT": "the checkpoint's card",
    "INPUT.MASK_FORMAT": "",
    "MODEL.BACKBONE.NAME": "--set detector=...",
    "MODEL.DEVICE": "",
    "MODEL.HIGH_PASS": "the checkpoint's card",
    "MODEL.KEYPOINT_ON": "--set detector=keypoint",
    "MODEL.LOAD_PROPOSALS": "",
    "MODEL.META_ARCHITECTURE": "--set detector=...",
    "MODEL.MMBENCH": "",
    "MODEL.PANOPTIC_FPN": "",
    "MODEL.PIXEL_MEAN": "the checkpoint's card",
    "MODEL.PIXEL_STD": "the checkpoint's card",
    "MODEL.RESNETS.DEPTH": "",
    "MODEL.RESNETS.NUM_GROUPS": "",
    "MODEL.RESNETS.OUT_FEATURES": "",
    "MODEL.RESNETS.RES2_OUT_CHANNELS": "",
    "MODEL.RESNETS.STEM_OUT_CHANNELS": "",
    "MODEL.RESNETS.WIDTH_PER_GROUP": "",
    "MODEL.RETINANET.NUM_CLASSES": "",
    "MODEL.ROI_HEADS.NUM_CLASSES": "",
    "MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS": "",
    "MODEL.SEM_SEG_HEAD": "",
    "MODEL.TIMM": "",
    "MODEL.WEIGHTS": "",
    "OUTPUT_DIR": "",
    "SEED": "--seed",
    "SOLVER.AMP": "--precision",
    "SOLVER.CHECKPOINT_PERIOD": "",
    "SOLVER.NUM_DECAYS": "",
    "SOLVER.REFERENCE_WORLD_SIZE": "",
    "TEST.AUG": "",
    "TEST.EVAL_PERIOD": "",
    "TEST.EXPECTED_RESULTS": "",
    "VERSION": "",
    "VIS_PERIOD": "",
}
# Keys that have settings, by their names. A key is free where the detector has none of them.
IN_SETTINGS: dict[str, tuple[str, ...]] = {
    "INPUT.MAX_SIZE_TEST": ("test_max_size",),
    "INPUT.MAX_SIZE_TRAIN": ("max_size",),
    "INPUT.MIN_SIZE_TEST": ("test_size",),
    "INPUT.MIN_SIZE_TRAIN": ("train_sizes",),
    "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": ("anchor_ratios",),
    "MODEL.ANCHOR_GENERATOR.SIZES": ("anchor_sizes", "c4_anchor_sizes", "pyramid_anchor_scales"),
    "MODEL.BACKBONE.FREEZE_AT": ("freeze_at",),
    "MODEL.FPN.NORM": ("fpn_norm",),
    "MODEL.FPN.OUT_CHANNELS": ("fpn_channels", "pyramid_channels"),
    "MODEL.MASK_ON": ("masks",),
    "MODEL.RESNETS.NORM": ("backbone_norm",),
    "MODEL.RETINANET.IOU_THRESHOLDS": ("iou_thresholds",),
    "MODEL.RETINANET.NORM": ("head_norm",),
    "MODEL.RETINANET.NUM_CONVS": ("head_convs",),
    "MODEL.RETINANET.SMOOTH_L1_LOSS_BETA": ("smooth_l1_beta",),
    "MODEL.ROI_BOX_HEAD.FC_DIM": ("box_width", "pyramid_box_width"),
    "MODEL.ROI_BOX_HEAD.NORM": ("head_norm",),
    "MODEL.ROI_BOX_HEAD.NUM_CONV": ("box_convs",),
    "MODEL.ROI_BOX_HEAD.NUM_FC": ("box_fcs",),
    "MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION": ("box_pool", "pyramid_box_bins"),
    "MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO": ("roi_samples",),
    "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": ("box_smooth_l1_beta",),
    "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE": ("roi_batch",),
    "MODEL.ROI_HEADS.POSITIVE_FRACTION": ("roi_positive_share",),
    "MODEL.ROI_KEYPOINT_HEAD.POOLER_SAMPLING_RATIO": ("roi_samples",),
    "MODEL.ROI_MASK_HEAD.NORM": ("head_norm",),
    "MODEL.ROI_MASK_HEAD.NUM_CONV": ("mask_convs",),
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": ("mask_pool",),
    "MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO": ("roi_samples",),
    "MODEL.RPN.BATCH_SIZE_PER_IMAGE": ("rpn_batch",),
    "MODEL.RPN.POST_NMS_TOPK_TEST": ("test_proposals",),
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": ("train_proposals",),
    "MODEL.RPN.PRE_NMS_TOPK_TEST": ("test_proposals",),
    "MODEL.RPN.PRE_NMS_TOPK_TRAIN": ("train_proposals",),
    "SOLVER.BACKBONE_LR_FACTOR": ("backbone_lr_factor",),
    "SOLVER.BASE_LR": ("learning_rate",),
    "SOLVER.IMS_PER_BATCH": ("batch_size",),
    "SOLVER.MAX_ITER": ("iterations",),
    "SOLVER.OPTIMIZER": ("optimizer",),
    "SOLVER.STEPS": ("decay_at",),
    "SOLVER.WARMUP_ITERS": ("warmup_iterations",),
    "SOLVER.WEIGHT_DECAY": ("weight_decay",),
    "TEST.KEYPOINT_OKS_SIGMAS": ("keypoint_sigmas",),
    "TEST.PRECISE_BN": ("precise_bn_iterations",),
}


def require_free(names: Iterable[str], settings: Collection[str]) -> None:
    """Check that these keys of Detectron2's are not the run's.

    Args:
        settings: names of the detector's settings.

    Raises:
        ValueError: one belongs to the run, or has a setting.
    """
    for name in names:
        for reserved, instead in RESERVED.items():
            if _within(name, reserved):
                use = f"use {instead}" if instead else "omit it"
                raise ValueError(f"{name} belongs to the run, and mmbench sets it; {use}")
        for reserved, candidates in IN_SETTINGS.items():
            own = [f"--set {setting}=..." for setting in candidates if setting in settings]
            if own and _within(name, reserved):
                raise ValueError(f"{name} has a setting, which records state; use {' or '.join(own)}")


def _within(name: str, reserved: str) -> bool:
    return name == reserved or name.startswith(f"{reserved}.")
