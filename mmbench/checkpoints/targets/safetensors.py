"""safetensors: one bare file under torchvision's names, which timm reads by `checkpoint_path`."""

from __future__ import annotations

from pathlib import Path

import timm
from torch import Tensor

from mmbench.checkpoints.architecture import wanted_shapes
from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.plain import Shapes
from mmbench.checkpoints.stages import timm_stages
from mmbench.checkpoints.target import TARGETS, Saved, Target, save_safetensors


class Safetensors(Target):
    """A file that holds tensors and can hold nothing else."""

    name, library, ending = "safetensors", "timm", ".safetensors"

    def names(self, backbone: Backbone) -> dict[str, str]:
        """Return the same names."""
        return {name: name for name in backbone.state_dict}

    def manifest(self, backbone: Backbone) -> Shapes:
        """Return timm's own list."""
        return wanted_shapes(backbone.arch)

    def model(self, backbone: Backbone) -> str:
        """Return timm's call."""
        return f"timm's {backbone.arch}, by checkpoint_path"

    def save(self, tensors: dict[str, Tensor], backbone: Backbone, path: Path) -> Saved:
        """Write tensors, and the card among the file's metadata."""
        metadata = {"format": "pt", "arch": backbone.arch, "card": backbone.card.model_dump_json()}
        return save_safetensors(tensors, path, metadata)

    def features(self, backbone: Backbone, path: Path, images: Tensor) -> list[Tensor]:
        """Return the stages of timm's model."""
        model = timm.create_model(backbone.arch, num_classes=0, checkpoint_path=str(path))
        return timm_stages(model.eval(), images)


TARGETS.register("safetensors")(Safetensors())
