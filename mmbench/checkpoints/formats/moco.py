"""MoCo v1 and v2, and MixMask: a query encoder and a key encoder side by side.

Source: facebookresearch/moco, moco/builder.py; kirill-vish/MixMask keeps the names.
"""

from mmbench.checkpoints.format import FORMATS, HEAD, QUEUE, Format

FORMATS.register("moco")(
    Format(
        name="moco",
        prefix="encoder_q.",
        momentum=("encoder_k.",),
        dropped={
            "encoder_q.fc.": HEAD,
            "encoder_k.": "key encoder: the moving average of the query encoder",
            "queue": QUEUE,
        },
        marks=("encoder_q.conv1.", "encoder_q.layer1.", "encoder_q."),
        method="moco",
    )
)
