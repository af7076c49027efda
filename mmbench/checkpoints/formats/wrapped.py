"""Our own files for Detectron2 and mmsegmentation of networks that those wrap from timm."""

from mmbench.checkpoints.format import FORMATS, Format
from mmbench.checkpoints.networks.plain import WRAPPED

FORMATS.register("wrapped")(
    Format(name="wrapped", prefix=WRAPPED, marks=(WRAPPED + "conv1.weight", WRAPPED + "layer1."))
)
