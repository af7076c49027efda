"""All libraries that call the backbone `backbone`; what lies beside it says which one.

Source: OpenMMLab's mmselfsup and mmpretrain, DenseCL and OpenSelfSup (`neck`, `head`); vturrisi/solo-learn
(`projector` and `classifier` beside it); lightly's examples (`projection_head`); facebookresearch/barlowtwins
(`bn`) and vicreg (`projector` alone); facebookresearch/dino (`head`, distinguished from OpenMMLab's by
`last_layer`).
"""

from mmbench.checkpoints.format import CLASSIFIER, FORMATS, HEAD, PREDICTOR, QUEUE, Format

MOMENTUM = "momentum encoder"

FORMATS.register("backbone")(
    Format(
        name="openmmlab",
        prefix="backbone.",
        momentum=(
            "momentum_backbone.",
            "backbone_momentum.",
            "encoder_k.module.0.",
            "encoder_k.0.",
            "encoder_k.",
        ),
        dropped={
            "neck.": HEAD,
            "head.": HEAD,
            "backbone.fc.": CLASSIFIER,
            "encoder_q.": "the same query encoder under another name",
            "encoder_k.": MOMENTUM,
            "momentum_backbone.": MOMENTUM,
            "backbone_momentum.": MOMENTUM,
            "momentum_projector.": HEAD,
            "projection_head.": HEAD,
            "projection_head_momentum.": HEAD,
            "prediction_head.": PREDICTOR,
            "projector.": HEAD,
            "predictor.": PREDICTOR,
            "classifier.": CLASSIFIER,
            "momentum_classifier.": CLASSIFIER,
            "bn.": HEAD,
            "queue": QUEUE,
            "criterion.": QUEUE,
        },
        marks=("backbone.conv1.", "backbone.layer1."),
        named_by={
            "neck.": "openmmlab",
            "bn.": "barlow-twins",
            "classifier.": "solo-learn",
            "momentum_backbone.": "solo-learn",
            "projection_head.": "lightly",
            "head.last_layer": "dino",
            "projector.": "vicreg",
        },
    )
)
