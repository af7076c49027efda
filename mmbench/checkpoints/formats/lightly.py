"""A backbone that is a numbered `nn.Sequential` of a torchvision ResNet, as in lightly's Lightning files.

Source: lightly's examples, `nn.Sequential(*list(resnet.children())[:-1])`: 0 conv1, 1 bn1, 2 relu, 3 maxpool,
4 to 7 the stages.
"""

from mmbench.checkpoints.format import FORMATS, HEAD, PREDICTOR, QUEUE, Format
from mmbench.checkpoints.tensors.companions import Companions
from mmbench.checkpoints.tensors.renaming import Renaming

MODULES = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}

NUMBERED = Renaming((("{module}.{rest}", "{module}.{rest}"),), {"module": MODULES})

FORMATS.register("sequential")(
    Format(name="sequential", prefix="", renaming=NUMBERED, dropped={"9.": HEAD}, marks=("4.0.conv1.",))
)
# leftthomas/SimCLR and its many copies leave the max-pooling out: 3 to 6 are the stages. So the numbers show
# that there is none, behind a stem of any size.
WITHOUT_POOL = {"0": "conv1", "1": "bn1", "3": "layer1", "4": "layer2", "5": "layer3", "6": "layer4"}

FORMATS.register("sequential-without-pool")(
    Format(
        name="sequential",
        prefix="",
        renaming=Renaming((("{module}.{rest}", "{module}.{rest}"),), {"module": WITHOUT_POOL}),
        dropped={"9.": HEAD},
        marks=("3.0.conv1.weight",),
        arch_options={"stem_pool": False},
    )
)
FORMATS.register("lightly")(
    Format(
        name="sequential",
        prefix="backbone.",
        momentum=("backbone_momentum.",),
        renaming=NUMBERED,
        dropped={
            "backbone_momentum.": "momentum encoder",
            "projection_head.": HEAD,
            "projection_head_momentum.": HEAD,
            "prediction_head.": PREDICTOR,
            "criterion.": QUEUE,
        },
        marks=("backbone.0.weight", "backbone.4.0.conv1."),
        companions=(Companions("lightly", {r"(projection_head|prediction_head)\.layers\.\d+\.weight": 2}),),
    )
)
