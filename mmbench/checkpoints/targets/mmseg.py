"""mmsegmentation: {"state_dict", "meta"} for its `ResNet` (style pytorch), or for its `TIMMBackbone`."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mmbench.checkpoints.architecture import COUNTER
from mmbench.checkpoints.backbone import Backbone, load_exactly
from mmbench.checkpoints.target import TARGETS, Target, plain_depth
from mmbench.errors import UserError

WRAPPED = "timm_model."


class Mmseg(Target):
    """mmsegmentation's own backbones: the plain-stem `ResNet`, never `ResNetV1c`."""

    name, library = "mmseg", "mmseg"

    def names(self, backbone: Backbone) -> dict[str, str]:
        """Return torchvision's names for plain ResNets, else the names of timm's feature extractor.

        Raises:
            UserError: the feature extractor has a tensor that the checkpoint lacks.
        """
        if plain_depth(backbone.arch) is not None:
            return {name: name for name in backbone.state_dict}
        import timm

        # timm's extractors call a stage `stages_0` where the network says `stages.0`.
        extractor = timm.create_model(backbone.arch, features_only=True).state_dict()
        by_flat_name = {name.replace(".", "_"): name for name in backbone.state_dict}
        sources = {name: by_flat_name.get(name.replace(".", "_")) for name in extractor}
        missing = sorted(name for name, source in sources.items() if source is None)
        if missing:
            raise UserError(f"mmseg's TIMMBackbone of {backbone.arch} needs {', '.join(missing[:4])}")
        return {source: WRAPPED + name for name, source in sources.items() if source is not None}

    def save(self, tensors: dict[str, Tensor], backbone: Backbone, path: Path) -> Path:
        """Write what mmengine's `Pretrained` initialiser reads."""
        meta = {"arch": backbone.arch, "card": backbone.card.model_dump_json()}
        torch.save({"state_dict": tensors, "meta": meta}, path)
        return path

    def features(self, backbone: Backbone, path: Path, images: Tensor) -> list[Tensor]:
        """Return the four stages of `ResNet`, or all maps of `TIMMBackbone`."""
        import mmseg.models  # noqa: F401  (fills the registry)
        from mmseg.registry import MODELS

        depth = plain_depth(backbone.arch)
        if depth is None:
            config = {"type": "mmseg.TIMMBackbone", "model_name": backbone.arch, "features_only": True}
            config |= {"pretrained": False, "in_channels": 3}
        else:
            config = {"type": "mmseg.ResNet", "depth": depth, "style": "pytorch"}
            config |= {"norm_cfg": {"type": "BN", "requires_grad": True}, "norm_eval": False}
        model = MODELS.build(config)
        model.eval()  # which mmsegmentation's ResNet answers with None
        state = torch.load(path, weights_only=True)["state_dict"]
        counters = {n: t for n, t in model.state_dict().items() if n.endswith(COUNTER)}
        load_exactly(model, {**counters, **state}, what=str(path))
        with torch.inference_mode():
            return list(model(images))


TARGETS.register("mmseg")(Mmseg())
