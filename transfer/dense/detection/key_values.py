"""Values of Detectron2's own keys that are one of a few words: checked before data and weights are read.

What Detectron2 finds by name, such as heads, others may register; it is checked where it is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmbench.errors import unknown_name

_LOSSES = ("smooth_l1", "giou", "diou", "ciou")
_POOLERS = ("ROIAlign", "ROIAlignV2", "ROIPool")  # ROIAlignRotated takes boxes with an angle
# detectron2/data/detection_utils.py, data/transforms, modeling and solver/build.py, version 0.6
CHOICES: dict[str, tuple[str, ...]] = {
    "INPUT.CROP.TYPE": ("relative_range", "relative", "absolute", "absolute_range"),
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": ("choice", "range"),
    "INPUT.RANDOM_FLIP": ("horizontal", "vertical", "none"),
    "MODEL.RETINANET.BBOX_REG_LOSS_TYPE": _LOSSES,
    "MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": _LOSSES,
    "MODEL.ROI_BOX_HEAD.POOLER_TYPE": _POOLERS,
    "MODEL.ROI_KEYPOINT_HEAD.POOLER_TYPE": _POOLERS,
    "MODEL.ROI_MASK_HEAD.POOLER_TYPE": _POOLERS,
    "MODEL.RPN.BBOX_REG_LOSS_TYPE": _LOSSES,
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": ("value", "norm"),
    # WarmupStepWithFixedGammaLR has no rate for the step after the last, which ends any training in an error.
    "SOLVER.LR_SCHEDULER_NAME": ("WarmupMultiStepLR", "WarmupCosineLR"),
}


def require_known(library: Mapping[str, Any]) -> None:
    """Check the values of keys that take one of a few words.

    Raises:
        ValueError: one is another (near match named).
    """
    for key, known in CHOICES.items():
        value = library.get(key)
        if isinstance(value, str) and value not in known:
            raise ValueError(str(unknown_name(key, value, known)))


def require_range(library: Mapping[str, Any], sizes: tuple[int, ...]) -> None:
    """Check that a range of image sizes, where Detectron2's own key asks for one, has two ends.

    Args:
        sizes: of training images.

    Raises:
        ValueError: it has fewer or more.
    """
    key = "INPUT.MIN_SIZE_TRAIN_SAMPLING"
    if library.get(key) == "range" and len(sizes) != 2:
        raise ValueError(f"{key}=range draws between two train_sizes, not {len(sizes)}; set them too")
