"""mmpretrain: its `ResNet`, or its `TIMMBackbone` for every other network."""

from mmbench.checkpoints.openmmlab import OpenMMLab
from mmbench.checkpoints.target import TARGETS


class Mmpretrain(OpenMMLab):
    """mmpretrain."""

    name, library = "mmpretrain", "mmpretrain.models"


TARGETS.register("mmpretrain")(Mmpretrain())
