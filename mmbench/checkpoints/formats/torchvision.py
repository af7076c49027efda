"""torchvision's ResNet names, which timm's and our own files share; `module.` is DataParallel's wrapper."""

from mmbench.checkpoints.format import FORMATS, Format

FORMATS.register("torchvision")(
    Format(
        name="torchvision",
        prefix="",
        dropped={"fc.": "classifier"},
        marks=("conv1.weight", "bn1.weight", "layer1."),
    )
)
FORMATS.register("torchvision-wrapped")(
    Format(
        name="torchvision",
        prefix="module.",
        dropped={"module.fc.": "classifier"},
        marks=("module.conv1.weight", "module.bn1.weight", "module.layer1."),
    )
)
