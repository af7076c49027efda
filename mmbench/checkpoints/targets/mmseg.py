"""mmsegmentation: its `ResNet`, or its `TIMMBackbone` for every other network."""

from mmbench.checkpoints.openmmlab import OpenMMLab
from mmbench.checkpoints.target import TARGETS


class Mmseg(OpenMMLab):
    """mmsegmentation."""

    name, library = "mmseg", "mmseg.models"


TARGETS.register("mmseg")(Mmseg())
