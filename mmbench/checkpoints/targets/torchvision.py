"""torchvision: a state dict for `torchvision.models.resnet*`, without the classifier."""

from __future__ import annotations

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from mmbench.checkpoints.backbone import Backbone, load_exactly
from mmbench.checkpoints.networks.network import network_of, plain_network, refuse_filter
from mmbench.checkpoints.networks.plain import Plain, Shapes, torchvision_tensors
from mmbench.checkpoints.target import TARGETS, Saved, Target, save_torch
from mmbench.errors import UserError

NODES = ("relu", "layer1", "layer2", "layer3", "layer4")


class Torchvision(Target):
    """torchvision's own ResNet. A self-supervised backbone has no classifier, so `fc` is not in the file."""

    name, library = "torchvision", "torchvision"
    keeps_card = False

    def names(self, backbone: Backbone) -> dict[str, str]:
        """Return the same names.

        Raises:
            UserError: torchvision has no such network.
        """
        _network(backbone)
        return {name: name for name in backbone.state_dict}

    def manifest(self, backbone: Backbone) -> Shapes:
        """Return the tensors of its ResNet without `fc`."""
        return torchvision_tensors(_network(backbone))

    def model(self, backbone: Backbone) -> str:
        """Return the name of the function that builds it."""
        return f"torchvision.models.{_builder(backbone)}"

    def save(self, tensors: dict[str, Tensor], backbone: Backbone, path: Path) -> Saved:
        """Write the bare state dict."""
        return save_torch(tensors, path)

    def features(self, backbone: Backbone, path: Path, images: Tensor) -> list[Tensor]:
        """Return stem and stages of torchvision's model with an identity for its classifier."""
        model = getattr(torchvision.models, _builder(backbone))()
        model.fc = nn.Identity()
        load_exactly(model, torch.load(path, weights_only=True), what=str(path))
        extractor = create_feature_extractor(model.eval(), list(NODES))
        with torch.inference_mode():
            return list(extractor(images).values())


def _network(backbone: Backbone) -> Plain:
    refuse_filter(backbone, "torchvision", "timm, mmseg, mmpretrain or detectron2")
    network = plain_network(backbone)
    if network is None or network.early_stride:
        wanted = network_of(backbone)
        raise UserError(
            f"torchvision has no network like {wanted.arch}{wanted.keywords}; convert --to timm instead"
        )
    return network


def _builder(backbone: Backbone) -> str:
    network = _network(backbone)
    return f"wide_resnet{network.depth}_2" if network.wide else f"resnet{network.depth}"


TARGETS.register("torchvision")(Torchvision())
