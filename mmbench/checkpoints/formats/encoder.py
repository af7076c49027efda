"""All libraries that call the backbone `encoder`; what lies beside it says which one.

Source: facebookresearch/simsiam, simsiam/builder.py; vturrisi/solo-learn before 1.0.5;
qubvel-org/segmentation_models.pytorch, whose DeepLabV3, DeepLabV3+ and PAN set the dilation of a stage in all
of its blocks (encoders/_utils.py, `replace_strides_with_dilation`), where torchvision and timm leave the
first block the dilation of the stage before.
"""

from mmbench.checkpoints.format import (
    CLASSIFIER,
    FORMATS,
    HEAD,
    PREDICTOR,
    QUEUE,
    SEGMENTATION,
    Format,
)
from mmbench.checkpoints.tensors.companions import SOLO_LEARN, Companions

SMP = "segmentation-models-pytorch"
SEGMENTS: dict[str, int | None] = {r"segmentation_head\..*weight": 4}

FORMATS.register("encoder")(
    Format(
        name="encoder",
        prefix="encoder.",
        momentum=("momentum_encoder.",),
        dropped={
            "encoder.fc.": HEAD,
            "predictor.": PREDICTOR,
            "projector.": HEAD,
            "momentum_encoder.": "momentum encoder",
            "momentum_projector.": HEAD,
            "classifier.": CLASSIFIER,
            "momentum_classifier.": CLASSIFIER,
            "queue": QUEUE,
            "decoder.": SEGMENTATION,
            "segmentation_head.": SEGMENTATION,
            "classification_head.": CLASSIFIER,
        },
        marks=("encoder.conv1.", "encoder.layer1."),
        companions=(
            Companions(
                "simsiam",
                {r"encoder\.fc\.0\.weight": 2, r"encoder\.fc\.3\.weight": 2, r"predictor\.\d+\.weight": 2},
                without=r"(?!encoder\.|predictor\.).*",
            ),
            Companions(
                SMP,
                {r"decoder\.(0\.convs|aspp|fpa)\..*": None} | SEGMENTS,
                unlike_ours="dilates all blocks of the last stages in DeepLab and PAN",
            ),
            Companions(SMP, {r"decoder\..*": None} | SEGMENTS),
            SOLO_LEARN,
        ),
    )
)
