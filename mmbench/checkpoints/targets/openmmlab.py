"""OpenMMLab's libraries: {"state_dict", "meta"} for their `ResNet` or their wrapper of timm."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone, load_exactly
from mmbench.checkpoints.networks.network import network_of, plain_network, refuse_filter
from mmbench.checkpoints.networks.plain import COUNTER, WRAPPED, Plain, Shapes, torchvision_tensors
from mmbench.checkpoints.openmmlab.build import without_messages
from mmbench.checkpoints.target import TARGETS, Saved, Target, save_torch
from mmbench.errors import UserError


class OpenMMLab(Target):
    """One of OpenMMLab's libraries: its plain-stem `ResNet`, never `ResNetV1c`.

    Args:
        name: as in `--to`; its networks are registered by the module `name.models`.
        wraps_timm: whether it has a `TIMMBackbone` for networks that its `ResNet` is not.
    """

    white = 255

    def __init__(self, name: str, wraps_timm: bool = True) -> None:
        self.name, self.library, self.wraps_timm = name, f"{name}.models", wraps_timm

    def _own(self, backbone: Backbone) -> Plain | None:
        """Return the network as their `ResNet` builds it, None where that cannot."""
        network = plain_network(backbone)
        return None if network is None or network.wide else network

    def names(self, backbone: Backbone) -> dict[str, str]:
        """Return torchvision's names for plain ResNets, else the names of timm's feature extractor.

        Raises:
            UserError: the feature extractor has a tensor that the checkpoint lacks, or there is none.
        """
        if self._own(backbone) is not None:
            return {name: name for name in backbone.state_dict}
        # timm's extractors call a stage `stages_0` where the network says `stages.0`.
        by_flat_name = {name.replace(".", "_"): name for name in backbone.state_dict}
        sources = {name: by_flat_name.get(name.replace(".", "_")) for name in self._extractor(backbone)}
        missing = sorted(name for name, source in sources.items() if source is None)
        if missing:
            raise UserError(
                f"{self.name}'s TIMMBackbone of {backbone.arch} needs {', '.join(missing[:4])}; "
                "the checkpoint has no such tensor"
            )
        return {source: WRAPPED + name for name, source in sources.items() if source is not None}

    def _extractor(self, backbone: Backbone) -> Shapes:
        if not self.wraps_timm:
            refuse_filter(backbone, self.name, "timm, mmseg, mmpretrain or detectron2")
            wanted = network_of(backbone)
            raise UserError(
                f"{self.name} has no network like {wanted.arch}{wanted.keywords}; convert --to timm or "
                "mmpretrain instead"
            )
        with torch.device("meta"):
            state = network_of(backbone).create(features_only=True).state_dict()
        return {name: tuple(tensor.shape) for name, tensor in state.items()}

    def manifest(self, backbone: Backbone) -> Shapes:
        """Return the tensors of their `ResNet`, or of the feature extractor that their wrapper builds."""
        network = self._own(backbone)
        if network is not None:
            return torchvision_tensors(network)
        return {WRAPPED + name: shape for name, shape in self._extractor(backbone).items()}

    def model(self, backbone: Backbone) -> str:
        """Return a phrase that names the model that takes the file."""
        network = self._own(backbone)
        if network is None:
            wrapped = network_of(backbone)
            return f"{self.name}'s TIMMBackbone of {wrapped.arch}{wrapped.keywords}"
        return f"{self.name}'s ResNet-{network.depth}, style {'caffe' if network.early_stride else 'pytorch'}"

    def notes(self, backbone: Backbone) -> list[str]:
        """Return the configuration of the wrapper where their `ResNet` is another network."""
        if self._own(backbone) is not None:
            return []
        wrapped = network_of(backbone)
        return [
            f'backbone=dict(type="{self.name}.TIMMBackbone", model_name="{wrapped.arch}", '
            f"features_only=True, pretrained=False{wrapped.keywords}, "
            'init_cfg=dict(type="Pretrained", checkpoint=THIS_FILE)), '
            'and custom_imports=dict(imports=["mmbench.backbones"])'
        ]

    def save(self, tensors: dict[str, Tensor], backbone: Backbone, path: Path) -> Saved:
        """Write what mmengine's `Pretrained` initialiser reads."""
        meta = {"arch": backbone.arch, "card": backbone.card.model_dump_json()}
        return save_torch({"state_dict": tensors, "meta": meta}, path)

    def features(self, backbone: Backbone, path: Path, images: Tensor) -> list[Tensor]:
        """Return the four stages of `ResNet`, or all maps of `TIMMBackbone`."""
        importlib.import_module(self.library)  # fills the registry
        registry = importlib.import_module(f"{self.name}.registry").MODELS
        network = self._own(backbone)
        if network is None:
            wrapped = network_of(backbone)
            config: dict[str, Any] = {"type": f"{self.name}.TIMMBackbone", "model_name": wrapped.arch}
            config |= {"features_only": True, "pretrained": False, "in_channels": 3, **wrapped.options}
        else:
            style = "caffe" if network.early_stride else "pytorch"
            config = {"type": f"{self.name}.ResNet", "depth": network.depth, "style": style}
            config |= {"out_indices": (0, 1, 2, 3), "norm_eval": False}
            config |= {"norm_cfg": {"type": "BN", "requires_grad": True}}
        with without_messages():
            model = registry.build(config)
        model.eval()  # which mmsegmentation's ResNet answers with None
        state = torch.load(path, weights_only=True)["state_dict"]
        counters = {n: t for n, t in model.state_dict().items() if n.endswith(COUNTER)}
        load_exactly(model, {**counters, **state}, what=str(path))
        with torch.inference_mode():
            return list(model(images))


TARGETS.register("mmseg")(OpenMMLab("mmseg"))
TARGETS.register("mmpretrain")(OpenMMLab("mmpretrain"))
# mmdetection wraps no timm networks, and imports only with mmcv's compiled operators.
TARGETS.register("mmdet")(OpenMMLab("mmdet", wraps_timm=False))
