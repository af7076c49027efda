"""Detectron's Caffe2 names: the MSRA ResNets that Detectron2 still serves as `MSRA/R-50.pkl`.

These networks expect BGR images of 0 to 255, stride in the first 1 x 1 convolution of a block, and store a
batch norm as a scale and a bias. Other networks of these names do not keep 0 to 255: Detectron2 divides the
images of its ResNeXt `FAIR/X-101-32x8d.pkl` by a std. Source: detectron2/checkpoint/c2_model_loading.py,
configs/Base-RCNN-C4.yaml (PIXEL_MEAN, PIXEL_STD, STRIDE_IN_1X1) and
configs/COCO-Detection/faster_rcnn_X_101_32x8d_FPN_3x.yaml.
"""

import torch
from torch import Tensor

from mmbench.checkpoints.card import Preprocessing
from mmbench.checkpoints.format import CLASSIFIER, FORMATS, Format
from mmbench.checkpoints.tensors.renaming import Renaming

RGB_MEAN = (123.675, 116.28, 103.53)


def complete(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors with batch-norm statistics, and a phrase per change."""
    whole = dict(tensors)
    for name, scale in tensors.items():
        stem, _, kind = name.rpartition(".")
        if kind == "bias" and f"{stem}.running_mean" not in tensors:
            whole[f"{stem}.running_mean"] = torch.zeros_like(scale)
            whole[f"{stem}.running_var"] = torch.ones_like(scale)  # as Detectron2 fills it
    return whole, ["scales and biases became batch norms with mean 0 and variance 1"]


FORMATS.register("caffe2")(
    Format(
        name="caffe2",
        prefix="",
        renaming=Renaming(
            (
                ("conv1_w", "conv1.weight"),
                ("res_conv1_bn_{affine}", "bn1.{affine}"),
                ("res{stage}_{block}_branch2{conv}_w", "layer{stage}.{block}.conv{conv}.weight"),
                ("res{stage}_{block}_branch2{conv}_bn_{affine}", "layer{stage}.{block}.bn{conv}.{affine}"),
                ("res{stage}_{block}_branch1_w", "layer{stage}.{block}.downsample.0.weight"),
                ("res{stage}_{block}_branch1_bn_{affine}", "layer{stage}.{block}.downsample.1.{affine}"),
            ),
            {
                "stage": {"2": "1", "3": "2", "4": "3", "5": "4"},
                "conv": {"a": "1", "b": "2", "c": "3"},
                "affine": {"s": "weight", "b": "bias"},
            },
        ),
        dropped={"fc1000_": CLASSIFIER, "pred_": CLASSIFIER},
        beside={"_momentum": "momentum of the optimiser"},
        marks=("conv1_w", "res2_0_branch2a_w"),
        architectures="msra_*",
        preprocessing=Preprocessing(
            mean=tuple(value / 255 for value in RGB_MEAN), std=(1 / 255, 1 / 255, 1 / 255), image_size=224
        ),
        preprocessing_of=(
            "msra_*",
            *(f"{family}resnet{depth}" for family in ("", "mixmask_") for depth in (50, 101, 152)),
        ),
        otherwise="--mean 103.53,116.28,123.675 --std 57.375,57.12,58.395 for Detectron2's X-101-32x8d",
        channels="bgr",
        completed=complete,
    )
)
