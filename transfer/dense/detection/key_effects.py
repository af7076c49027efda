"""Detectron2's own keys that have an effect only beside other keys or settings."""

from __future__ import annotations

from mmbench.setting_effects import OnlyWith

SCHEDULER = "SOLVER.LR_SCHEDULER_NAME"
STEPS = ("WarmupMultiStepLR", None)  # None: not set
_SGD, _WARMUP = OnlyWith("optimizer", "sgd"), OnlyWith("warmup_iterations")
_CLIPPING, _CROPS = OnlyWith("SOLVER.CLIP_GRADIENTS.ENABLED"), OnlyWith("INPUT.CROP.ENABLED")
_REGIONS = OnlyWith("detector", "fpn", "keypoint", "c4", "pyramid", "auto")
# Of keys, and of sections of them. Read from detectron2/solver/build.py, data/dataset_mapper.py and modeling,
# version 0.6, and from `DetectionTrainer.build_optimizer`.
EFFECTS: dict[str, tuple[OnlyWith, ...]] = {
    "INPUT.CROP.SIZE": (_CROPS,),
    "INPUT.CROP.TYPE": (_CROPS,),
    "MODEL.PROPOSAL_GENERATOR": (_REGIONS,),
    "MODEL.RETINANET": (OnlyWith("detector", "retinanet"),),
    "MODEL.ROI_BOX_HEAD": (_REGIONS,),
    "MODEL.ROI_HEADS": (_REGIONS,),
    "MODEL.ROI_KEYPOINT_HEAD": (OnlyWith("detector", "keypoint"),),
    "MODEL.ROI_MASK_HEAD": (OnlyWith("masks"),),
    "MODEL.RPN": (_REGIONS,),
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
