"""Detectron2's own keys that have an effect only beside other keys or settings."""

from __future__ import annotations

from mmbench.settings.effects import NotWith, OnlyWith

SCHEDULER = "SOLVER.LR_SCHEDULER_NAME"
STEPS = ("WarmupMultiStepLR", None)  # None: not set
_SGD, _WARMUP = OnlyWith("optimizer", "sgd"), OnlyWith("warmup_iterations")
_CLIPPING, _CROPS = OnlyWith("SOLVER.CLIP_GRADIENTS.ENABLED"), OnlyWith("INPUT.CROP.ENABLED")
_REGIONS = OnlyWith("detector", "fpn", "keypoint", "c4", "pyramid", "auto")
_LEVELS = OnlyWith("detector", "fpn", "keypoint", "retinanet", "pyramid", "auto")
_RESNET = OnlyWith("detector", "fpn", "keypoint", "retinanet", "c4", "auto")
# C4's heads are res5; those of the pyramid have no convolutions, unless others are named.
_BOX_HEAD = OnlyWith("detector", "fpn", "keypoint", "pyramid", "auto")
_NAMED_HEAD = OnlyWith("MODEL.ROI_BOX_HEAD.NAME")
_LAYERS = OnlyWith("detector", "fpn", "keypoint", unless=_NAMED_HEAD)
_FED_LOSS = OnlyWith("MODEL.ROI_BOX_HEAD.USE_FED_LOSS")
_CASCADE = NotWith(
    "MODEL.ROI_HEADS.NAME",
    *(None, "StandardROIHeads", "Res5ROIHeads", "MMBenchRes5ROIHeads"),
    instead="CascadeROIHeads",
)
_ROTATED = NotWith(
    "MODEL.ANCHOR_GENERATOR.NAME", None, "DefaultAnchorGenerator", instead="RotatedAnchorGenerator"
)


def smooth(section: str) -> OnlyWith:
    """Return the condition of the error at which a section's box loss changes from L2 to L1."""
    return OnlyWith(f"MODEL.{section}.BBOX_REG_LOSS_TYPE", "smooth_l1", None)


# Of keys, and of sections of them. Read from detectron2/solver/build.py, data/dataset_mapper.py and modeling,
# version 0.6, and from `DetectionTrainer.build_optimizer`.
EFFECTS: dict[str, tuple[OnlyWith, ...]] = {
    "INPUT.CROP.SIZE": (_CROPS,),
    "INPUT.CROP.TYPE": (_CROPS,),
    "MODEL.ANCHOR_GENERATOR.ANGLES": (_ROTATED,),
    "MODEL.FPN": (_LEVELS,),
    "MODEL.FPN.IN_FEATURES": (OnlyWith("detector", "fpn", "keypoint", "retinanet"),),
    "MODEL.PROPOSAL_GENERATOR": (_REGIONS,),
    "MODEL.RESNETS": (_RESNET,),
    "MODEL.RESNETS.DEFORM_MODULATED": (OnlyWith("MODEL.RESNETS.DEFORM_ON_PER_STAGE"),),
    "MODEL.RESNETS.DEFORM_NUM_GROUPS": (OnlyWith("MODEL.RESNETS.DEFORM_ON_PER_STAGE"),),
    "MODEL.RESNETS.RES5_DILATION": (OnlyWith("detector", "fpn", "keypoint", "retinanet"),),
    "MODEL.RETINANET": (OnlyWith("detector", "retinanet"),),
    "MODEL.ROI_BOX_CASCADE_HEAD": (_REGIONS, _CASCADE),
    "MODEL.ROI_BOX_HEAD": (_REGIONS,),
    "MODEL.ROI_BOX_HEAD.CONV_DIM": (_BOX_HEAD, _LAYERS, OnlyWith("box_convs", unless=_NAMED_HEAD)),
    "MODEL.ROI_BOX_HEAD.FED_LOSS_FREQ_WEIGHT_POWER": (_FED_LOSS,),
    "MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES": (_FED_LOSS,),
    "MODEL.ROI_BOX_HEAD.NAME": (_BOX_HEAD,),
    "MODEL.ROI_BOX_HEAD.NORM": (_BOX_HEAD,),
    "MODEL.ROI_BOX_HEAD.NUM_CONV": (_BOX_HEAD, _LAYERS),
    "MODEL.ROI_BOX_HEAD.NUM_FC": (_BOX_HEAD, _LAYERS),
    "MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA": (smooth("ROI_BOX_HEAD"),),
    "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES": (_BOX_HEAD,),
    "MODEL.ROI_HEADS": (_REGIONS,),
    "MODEL.ROI_KEYPOINT_HEAD": (OnlyWith("detector", "keypoint"),),
    "MODEL.ROI_MASK_HEAD": (OnlyWith("masks"),),
    "MODEL.ROI_MASK_HEAD.NORM": (
        OnlyWith(
            *("detector", "fpn", "keypoint", "pyramid", "auto"),
            unless=OnlyWith("MODEL.ROI_MASK_HEAD.NUM_CONV"),
        ),
    ),
    "MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION": (_BOX_HEAD,),
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": (_BOX_HEAD,),
    "MODEL.RPN": (_REGIONS,),
    "MODEL.RPN.SMOOTH_L1_BETA": (smooth("RPN"),),
    "SOLVER.BASE_LR_END": (OnlyWith(SCHEDULER, "WarmupCosineLR"),),
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": (_CLIPPING,),
    "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": (_CLIPPING,),
    "SOLVER.CLIP_GRADIENTS.NORM_TYPE": (_CLIPPING, OnlyWith("SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "norm")),
    "SOLVER.GAMMA": (OnlyWith(SCHEDULER, *STEPS), OnlyWith("decay_at")),
    "SOLVER.MOMENTUM": (_SGD,),
    "SOLVER.NESTEROV": (_SGD,),
    "SOLVER.RESCALE_INTERVAL": (_WARMUP,),
    "SOLVER.WARMUP_FACTOR": (_WARMUP,),
    "SOLVER.WARMUP_METHOD": (_WARMUP,),
}
