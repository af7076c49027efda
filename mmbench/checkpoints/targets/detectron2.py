"""Detectron2: a pickle of numpy arrays under its own names, or the names of our wrapper around timm."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone, load_exactly
from mmbench.checkpoints.files.opening import open_checkpoint
from mmbench.checkpoints.files.pickled_arrays import dump_arrays
from mmbench.checkpoints.format import FORMATS
from mmbench.checkpoints.networks.architecture import wanted_shapes
from mmbench.checkpoints.networks.network import network_of, plain_network, timm_stages
from mmbench.checkpoints.networks.plain import COUNTER, WRAPPED, Shapes, detectron2_tensors
from mmbench.checkpoints.target import TARGETS, Saved, Target


class Detectron2(Target):
    """Detectron2's ResNet (RGB; STRIDE_IN_1X1 only for MSRA's); others go into a backbone that wraps timm."""

    name, library, ending = "detectron2", "detectron2", ".pkl"
    white = 255

    def names(self, backbone: Backbone) -> dict[str, str]:
        """Return Detectron2's names for plain ResNets, else `timm_model.` before timm's."""
        kept = self.without_counters(backbone)
        if plain_network(backbone) is None:
            return {name: WRAPPED + name for name in kept}
        entry = FORMATS.get("detectron2")
        return {name: entry.stored_name(name) for name in kept}

    def manifest(self, backbone: Backbone) -> Shapes:
        """Return the tensors of `build_resnet_backbone`, or of the wrapped network."""
        network = plain_network(backbone)
        if network is not None:
            return detectron2_tensors(network)
        shapes = wanted_shapes(backbone.arch)
        return {WRAPPED + name: shapes[name] for name in shapes if not name.endswith(COUNTER)}

    def model(self, backbone: Backbone) -> str:
        """Return the builder and its setting."""
        network = plain_network(backbone)
        if network is None:
            wrapped = network_of(backbone)
            return f"a Detectron2 backbone that wraps timm's {wrapped.arch}{wrapped.keywords}"
        return f"Detectron2's build_resnet_backbone, STRIDE_IN_1X1 {network.early_stride}, RGB"

    def notes(self, backbone: Backbone) -> list[str]:
        """Return what Detectron2 must wrap where it has no such network itself."""
        if plain_network(backbone) is not None:
            return []
        call = network_of(backbone).call
        return [
            f"names are those of a backbone whose attribute `timm_model` is {call}, after `import mmbench`"
        ]

    def save(self, tensors: dict[str, Tensor], backbone: Backbone, path: Path) -> Saved:
        """Write {"model": arrays, ...}, which Detectron2 matches to a detector's names by their endings.

        In a detector the stages lie at `backbone.res2` and `roi_heads.res5`; without matching, its
        checkpointer would load nothing and only log it. It ignores the card beside them.
        """
        beside: dict[str, Any] = {"__author__": "mmbench", "matching_heuristics": True}
        beside |= {"arch": backbone.arch, "card": backbone.card.model_dump_json()}
        return Saved(path, dump_arrays(tensors, beside, path))

    def features(self, backbone: Backbone, path: Path, images: Tensor) -> list[Tensor]:
        """Return res2 to res5 of Detectron2's own `build_resnet_backbone`, fed by its own checkpointer."""
        network = plain_network(backbone)
        if network is None:
            return _wrapped_features(backbone, path, images)
        from detectron2.checkpoint import DetectionCheckpointer
        from detectron2.config import get_cfg
        from detectron2.layers import ShapeSpec
        from detectron2.modeling.backbone.resnet import build_resnet_backbone

        stages = ["res2", "res3", "res4", "res5"]
        cfg = get_cfg()
        settings = cfg.MODEL.RESNETS
        settings.DEPTH, settings.OUT_FEATURES, settings.NORM = network.depth, stages, "BN"
        settings.STRIDE_IN_1X1 = network.early_stride
        settings.WIDTH_PER_GROUP = 128 if network.wide else 64
        settings.RES2_OUT_CHANNELS = 256 if network.bottleneck else 64
        cfg.MODEL.BACKBONE.FREEZE_AT = 0
        model = build_resnet_backbone(cfg, ShapeSpec(channels=3)).eval()
        logger = logging.getLogger("fvcore")
        level = logger.level
        logger.setLevel(logging.ERROR)
        try:
            DetectionCheckpointer(model, save_dir="").load(str(path))
        finally:
            logger.setLevel(level)
        with torch.inference_mode():
            maps = model(images)
        return [maps[stage] for stage in stages]


def _wrapped_features(backbone: Backbone, path: Path, images: Tensor) -> list[Tensor]:
    """Return the stages of a timm model that holds what the file says."""
    state = open_checkpoint(path).tensors
    model = network_of(backbone).create(num_classes=0)
    counters = {n: t for n, t in model.state_dict().items() if n.endswith(COUNTER)}
    bare = {name.removeprefix(WRAPPED): tensor for name, tensor in state.items()}
    load_exactly(model, {**counters, **bare}, what=str(path))
    return timm_stages(model.eval(), images)


TARGETS.register("detectron2")(Detectron2())
