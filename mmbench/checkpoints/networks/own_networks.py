"""Tensors and images of mmbench's own architectures, known without timm, whose import takes seconds.

`mmbench.backbones` builds the networks; a test compares every one of them with what is stated here.
"""

from __future__ import annotations

import re

from mmbench.backbone_names import OUR_BACKBONES
from mmbench.checkpoints.networks.plain import (
    BLOCKS,
    Shapes,
    plain,
    residual_convolutions,
    resnet_tensors,
    torchvision_tensors,
)

SMALL = "mixmask_resnet8"
OF_SMALL_IMAGES = re.compile(r"mixmask_resnet(?P<depth>\d+)_cifar")
SMALL_SIZE, USUAL_SIZE = 32, 224  # px


def own_tensors(arch: str) -> Shapes | None:
    """Return name -> shape of every tensor of one of mmbench's own architectures, without a classifier.

    None for any other architecture, and for a name with one of timm's tags.
    """
    if arch not in OUR_BACKBONES:
        return None
    if arch == SMALL:
        return resnet_tensors(3, residual_convolutions((1, 1, 1), channels=32))
    if small := OF_SMALL_IMAGES.fullmatch(arch):
        depth = int(small["depth"])
        return resnet_tensors(3, residual_convolutions(BLOCKS[depth], bottleneck=depth >= 50))
    network = plain(arch)
    assert network is not None
    return torchvision_tensors(network)


def own_image_size(arch: str) -> int | None:
    """Return the usual side in pixels of the images of one of our architectures; they take any other too.

    None for any other architecture, and for a name with one of timm's tags.
    """
    if arch not in OUR_BACKBONES:
        return None
    return SMALL_SIZE if arch == SMALL or OF_SMALL_IMAGES.fullmatch(arch) else USUAL_SIZE
