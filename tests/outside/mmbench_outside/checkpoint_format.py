"""Checkpoint format `outside`: a ResNet under "trunk."."""

from mmbench.checkpoints.format import FORMATS, HEAD, Format

FORMATS.register("outside")(
    Format(name="outside", prefix="trunk.", dropped={"classifier.": HEAD}, marks=("trunk.conv1.",))
)
