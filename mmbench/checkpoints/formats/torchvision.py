"""torchvision's ResNet names, which timm's, our own and many released backbones share."""

from mmbench.checkpoints.format import CLASSIFIER, FORMATS, Format

FORMATS.register("torchvision")(
    Format(
        name="torchvision",
        prefix="",
        dropped={"fc.": CLASSIFIER},
        marks=("conv1.weight", "bn1.weight", "layer1."),
    )
)
