"""MoCo v3 with a ResNet. Source: facebookresearch/moco-v3, moco/builder.py."""

from mmbench.checkpoints.format import FORMATS, HEAD, PREDICTOR, Format

FORMATS.register("moco-v3")(
    Format(
        name="moco-v3",
        prefix="base_encoder.",
        momentum=("momentum_encoder.",),
        dropped={
            "base_encoder.fc.": HEAD,
            "momentum_encoder.": "momentum encoder: the moving average of the base encoder",
            "predictor.": PREDICTOR,
        },
        marks=("base_encoder.conv1.", "base_encoder.layer1."),
        method="moco-v3",
    )
)
