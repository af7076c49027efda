"""MoCo v1 and v2, and MixMask: DistributedDataParallel around a query and a key encoder.

Source: facebookresearch/moco, moco/builder.py; kirill-vish/MixMask keeps the names.
"""

from mmbench.checkpoints.format import FORMATS, Format

HEAD = "projection head of pretraining"
KEY = "key encoder: the moving average of the query encoder"

FORMATS.register("moco")(
    Format(
        name="moco",
        prefix="module.encoder_q.",
        dropped={
            "module.encoder_q.fc.": HEAD,
            "module.encoder_k.": KEY,
            "module.queue": "queue of negative keys",
        },
        marks=("module.encoder_q.conv1.", "module.encoder_q.layer1.", "module.encoder_q."),
    )
)
FORMATS.register("moco-unwrapped")(
    Format(
        name="moco",
        prefix="encoder_q.",
        dropped={"encoder_q.fc.": HEAD, "encoder_k.": KEY, "queue": "queue of negative keys"},
        marks=("encoder_q.",),
    )
)
