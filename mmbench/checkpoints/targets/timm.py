"""timm: a folder that loads by `local-dir:` and whose model.safetensors loads by `checkpoint_path`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card_file import write_card
from mmbench.checkpoints.networks.network import network_of, timm_stages
from mmbench.checkpoints.target import TARGETS, Saved, Target, metadata_of, save_safetensors
from mmbench.files import write_json, write_text

README = """---
library_name: timm
tags: [image-feature-extraction]
---

# {arm}: {arch}

Converted by mmbench {version}; `card.json` states what is known of the weights, `receipt.json` what became of
each tensor.

    import mmbench, timm
    model = timm.create_model("local-dir:{name}", pretrained=True)

Images: RGB in [0, 1], {size} px, mean {mean}, std {std}.{network}
"""


class Timm(Target):
    """timm's own model of the same name."""

    name, library = "timm", "timm"
    states_images = True

    def model(self, backbone: Backbone) -> str:
        """Return timm's call."""
        network = network_of(backbone)
        return f"timm's {network.arch}{network.keywords} from the folder"

    def notes(self, backbone: Backbone) -> list[str]:
        """Return what the network holds beside its tensors."""
        network = network_of(backbone)
        if not network.options:
            return []
        return [f"config.json makes timm build {network.call}; it needs `import mmbench` before"]

    def save(self, tensors: dict[str, Tensor], backbone: Backbone, path: Path) -> Saved:
        """Write config.json, model.safetensors, card.json and README.md into the folder `path`."""
        from mmbench import __version__

        path.mkdir(parents=True, exist_ok=True)
        saved = save_safetensors(
            tensors, path / "model.safetensors", metadata_of(backbone.arch, backbone.card)
        )
        preprocessing = backbone.card.preprocessing
        size = preprocessing.image_size
        network = network_of(backbone)
        with torch.device("meta"):
            features = network.create(num_classes=0).num_features
        config: dict[str, Any] = {
            "architecture": network.arch.partition(".")[0],
            "num_classes": 0,
            "num_features": int(features),  # type: ignore[arg-type]
            "pretrained_cfg": {
                "tag": backbone.card.arm,
                "input_size": [3, size, size],
                "mean": list(preprocessing.mean),
                "std": list(preprocessing.std),
                **({} if preprocessing.crop_pct is None else {"crop_pct": preprocessing.crop_pct}),
                "num_classes": 0,
                "first_conv": "conv1",
                "classifier": "fc",
            },
        }
        if network.options:
            config["model_args"] = network.options
        write_json(path / "config.json", config)
        write_card(path / "card.json", backbone.card, saved.sha256)
        text = README.format(
            arm=backbone.card.arm,
            arch=backbone.arch,
            version=__version__,
            name=path.name,
            size=size,
            mean=preprocessing.mean,
            std=preprocessing.std,
            network=f" The network is built by `{network.call}`: what stands behind its name is part of it."
            if network.options
            else "",
        )
        write_text(path / "README.md", text)
        return saved

    def features(self, backbone: Backbone, path: Path, images: Tensor) -> list[Tensor]:
        """Return the stages of `timm.create_model('local-dir:...', pretrained=True)`."""
        model = timm.create_model(f"local-dir:{path}", pretrained=True)
        return timm_stages(model.eval(), images)


TARGETS.register("timm")(Timm())
