"""SwAV: torchvision's names with a projection head and prototypes beside them.

Source: facebookresearch/swav, src/resnet50.py.
"""

from mmbench.checkpoints.format import FORMATS, HEAD, Format
from mmbench.checkpoints.tensors.companions import Companions

FORMATS.register("swav")(
    Format(
        name="torchvision",
        prefix="",
        dropped={"projection_head.": HEAD, "prototypes.": "prototypes of the clusters", "queue": "queue"},
        marks=("projection_head.0.weight", "prototypes.weight"),
        companions=(
            Companions("swav", {r"projection_head\..*weight": 2, r"prototypes\..*weight": 2}, method="swav"),
        ),
    )
)
