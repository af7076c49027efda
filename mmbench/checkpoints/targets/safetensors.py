"""safetensors: one bare file under torchvision's names, which timm reads by `checkpoint_path`."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.networks.network import network_of, timm_stages
from mmbench.checkpoints.target import TARGETS, Saved, Target, metadata_of, save_safetensors


class Safetensors(Target):
    """A file that holds tensors and can hold nothing else."""

    name, library, ending = "safetensors", "timm", ".safetensors"

    def model(self, backbone: Backbone) -> str:
        """Return timm's call."""
        network = network_of(backbone)
        return f"timm's {network.arch}{network.keywords}, by checkpoint_path"

    def notes(self, backbone: Backbone) -> list[str]:
        """Return how the network must be built: a file of tensors cannot hold that."""
        network = network_of(backbone)
        if not network.options:
            return []
        return [f"the file holds tensors only; build the network by {network.call}, and no other"]

    def save(self, tensors: dict[str, Tensor], backbone: Backbone, path: Path) -> Saved:
        """Write tensors, and the card among the file's metadata."""
        return save_safetensors(tensors, path, metadata_of(backbone.arch, backbone.card))

    def features(self, backbone: Backbone, path: Path, images: Tensor) -> list[Tensor]:
        """Return the stages of timm's model."""
        model = network_of(backbone).create(num_classes=0, checkpoint_path=str(path))
        return timm_stages(model.eval(), images)


TARGETS.register("safetensors")(Safetensors())
