"""mmdetection: its `ResNet`. It wraps no timm networks, and imports only with mmcv's compiled operators."""

from mmbench.checkpoints.openmmlab import OpenMMLab
from mmbench.checkpoints.target import TARGETS


class Mmdet(OpenMMLab):
    """mmdetection."""

    name, library, wraps_timm = "mmdet", "mmdet.models", False


TARGETS.register("mmdet")(Mmdet())
