"""VISSL: the trunk's `_feature_blocks`. Source: facebookresearch/vissl, vissl/models/trunks/resnext.py."""

from mmbench.checkpoints.format import FORMATS, HEAD, Format

FORMATS.register("vissl")(
    Format(
        name="vissl",
        prefix="_feature_blocks.",
        dropped={"heads.": HEAD},
        marks=("_feature_blocks.conv1.", "_feature_blocks.layer1."),
    )
)
