"""All libraries that call the backbone `backbone`; what lies beside it says which one.

Source: OpenMMLab's mmselfsup, mmpretrain, mmsegmentation and mmdetection, DenseCL and OpenSelfSup;
torchvision/models/segmentation (fcn.py, deeplabv3.py); vturrisi/solo-learn, solo/methods/base.py; lightly's
heads (`layers`); facebookresearch/barlowtwins (a batch norm `bn` without scale and bias), vicreg (three
linear layers, the last without bias) and dino (`last_layer`).
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

MOMENTUM = "momentum encoder"
OPENMMLAB = r"(neck|decode_head|auxiliary_head|bbox_head|rpn_head|roi_head|head\.fc|encoder_q\.0)\..*"

FORMATS.register("backbone")(
    Format(
        name="backbone",
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
            "aux_classifier.": SEGMENTATION,
            "decode_head.": SEGMENTATION,
            "auxiliary_head.": SEGMENTATION,
            "momentum_classifier.": CLASSIFIER,
            "bn.": HEAD,
            "queue": QUEUE,
            "criterion.": QUEUE,
        },
        marks=("backbone.conv1.", "backbone.layer1."),
        companions=(
            Companions("openmmlab", {OPENMMLAB: None}),
            Companions(
                "torchvision-segmentation", {r"classifier\.0\.weight": 4, r"classifier\.4\.weight": 4}
            ),
            Companions(
                "torchvision-segmentation",
                {r"classifier\.0\.convs\.0\.0\.weight": 4, r"classifier\.4\.weight": 4},
            ),
            Companions(
                "barlow-twins",
                {r"bn\.running_mean": 1, r"projector\.\d+\.weight": 2},
                without=r"bn\.weight|(?!backbone\.|projector\.|bn\.).*",
            ),
            SOLO_LEARN,
            Companions("solo-learn", {r"momentum_backbone\..*": 4, r"momentum_projector\..*": 2}),
            Companions("lightly", {r"(projection_head|prediction_head)\.layers\.\d+\.weight": 2}),
            Companions("dino", {r"head\.last_layer\.(weight_v|parametrizations\.weight\.original1)": 2}),
            Companions(
                "vicreg",
                {
                    r"projector\.0\.bias": 1,
                    r"projector\.1\.running_mean": 1,
                    r"projector\.3\.weight": 2,
                    r"projector\.6\.weight": 2,
                },
                without=r"projector\.6\.bias|(?!backbone\.|projector\.).*",
            ),
        ),
    )
)
