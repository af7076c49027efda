"""timm: a folder that loads by `local-dir:` and whose model.safetensors loads by `checkpoint_path`."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from torch import Tensor

from mmbench.checkpoints.architecture import wanted_shapes
from mmbench.checkpoints.backbone import Backbone, create_headless
from mmbench.checkpoints.plain import Shapes
from mmbench.checkpoints.stages import timm_stages
from mmbench.checkpoints.target import TARGETS, Saved, Target, save_safetensors
from mmbench.files import write_json, write_text

README = """---
library_name: timm
tags: [image-feature-extraction]
---

# {arm}: {arch}

Converted by mmbench {version}; `card.json` tells what is known of the weights, `receipt.json` what became of
each tensor.

    import mmbench, timm
    model = timm.create_model("local-dir:{name}", pretrained=True)
"""


class Timm(Target):
    """timm's own model of the same name."""

    name, library = "timm", "timm"

    def names(self, backbone: Backbone) -> dict[str, str]:
        """Return the same names: timm's ResNets use torchvision's."""
        return {name: name for name in backbone.state_dict}

    def manifest(self, backbone: Backbone) -> Shapes:
        """Return timm's own list."""
        return wanted_shapes(backbone.arch)

    def model(self, backbone: Backbone) -> str:
        """Return timm's call."""
        return f"timm's {backbone.arch} from the folder"

    def save(self, tensors: dict[str, Tensor], backbone: Backbone, path: Path) -> Saved:
        """Write config.json, model.safetensors, card.json and README.md into the folder `path`."""
        from mmbench import __version__

        path.mkdir(parents=True, exist_ok=True)
        saved = save_safetensors(tensors, path / "model.safetensors", {"format": "pt"})
        preprocessing = backbone.card.preprocessing
        size = preprocessing.image_size
        with torch.device("meta"):
            features = create_headless(backbone.arch).num_features
        config = {
            "architecture": backbone.arch.partition(".")[0],
            "num_classes": 0,
            "num_features": int(features),  # type: ignore[arg-type]
            "pretrained_cfg": {
                "tag": backbone.card.arm,
                "input_size": [3, size, size],
                "mean": list(preprocessing.mean),
                "std": list(preprocessing.std),
                "num_classes": 0,
                "first_conv": "conv1",
                "classifier": "fc",
            },
        }
        write_json(path / "config.json", config)
        write_json(path / "card.json", backbone.card.model_dump(mode="json"))
        text = README.format(arm=backbone.card.arm, arch=backbone.arch, version=__version__, name=path.name)
        write_text(path / "README.md", text)
        return saved

    def features(self, backbone: Backbone, path: Path, images: Tensor) -> list[Tensor]:
        """Return the stages of `timm.create_model('local-dir:...', pretrained=True)`."""
        model = timm.create_model(f"local-dir:{path}", pretrained=True)
        return timm_stages(model.eval(), images)


TARGETS.register("timm")(Timm())
