"""torchvision: a state dict for `torchvision.models.resnet*`, without the classifier."""

from __future__ import annotations

from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from mmbench.checkpoints.backbone import Backbone, load_exactly
from mmbench.checkpoints.target import TARGETS, Target, plain_depth
from mmbench.errors import UserError

NODES = ("relu", "layer1", "layer2", "layer3", "layer4")


class Torchvision(Target):
    """torchvision's own ResNet. A self-supervised backbone has no classifier, so `fc` is not in the file."""

    name, library = "torchvision", "torchvision"

    def names(self, backbone: Backbone) -> dict[str, str]:
        """Return the same names.

        Raises:
            UserError: torchvision has no such network.
        """
        if plain_depth(backbone.arch) is None:
            raise UserError(f"torchvision has no network like {backbone.arch}; convert --to timm instead")
        return {name: name for name in backbone.state_dict}

    def save(self, tensors: dict[str, Tensor], backbone: Backbone, path: Path) -> Path:
        """Write the bare state dict."""
        torch.save(tensors, path)
        return path

    def features(self, backbone: Backbone, path: Path, images: Tensor) -> list[Tensor]:
        """Return stem and stages of torchvision's model with an identity for its classifier."""
        model = getattr(torchvision.models, f"resnet{plain_depth(backbone.arch)}")()
        model.fc = nn.Identity()
        load_exactly(model, torch.load(path, weights_only=True), what=str(path))
        extractor = create_feature_extractor(model.eval(), list(NODES))
        with torch.inference_mode():
            return list(extractor(images).values())


TARGETS.register("torchvision")(Torchvision())
