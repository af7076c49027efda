"""Detectron2: a pickle of numpy arrays under its own names, or the names of our wrapper around timm."""

from __future__ import annotations

import logging
import pickle
import re
from pathlib import Path

import timm
import torch
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone, load_exactly
from mmbench.checkpoints.stages import timm_stages
from mmbench.checkpoints.target import TARGETS, Target, plain_depth

WRAPPED = "timm_model."

# torchvision's name -> Detectron2's, anchored at both ends.
# Source: detectron2/modeling/backbone/resnet.py.
RENAMES = (
    (r"conv1\.weight", r"stem.conv1.weight"),
    (r"bn1\.(\w+)", r"stem.conv1.norm.\1"),
    (r"layer(\d)\.(\d+)\.conv(\d)\.weight", r"res{stage}.\2.conv\3.weight"),
    (r"layer(\d)\.(\d+)\.bn(\d)\.(\w+)", r"res{stage}.\2.conv\3.norm.\4"),
    (r"layer(\d)\.(\d+)\.downsample\.0\.weight", r"res{stage}.\2.shortcut.weight"),
    (r"layer(\d)\.(\d+)\.downsample\.1\.(\w+)", r"res{stage}.\2.shortcut.norm.\3"),
)


def detectron2_name(name: str) -> str:
    """Return Detectron2's name of a ResNet tensor; layer1 is its res2.

    Raises:
        KeyError: Detectron2's ResNet has no such tensor.
    """
    for pattern, replacement in RENAMES:
        match = re.fullmatch(pattern, name)
        if match:
            stage = str(int(match[1]) + 1) if "{stage}" in replacement else ""
            return match.expand(replacement.replace("{stage}", stage))
    raise KeyError(name)


class Detectron2(Target):
    """Detectron2's ResNet (RGB, STRIDE_IN_1X1 False); other networks go into a backbone that wraps timm."""

    name, library, ending = "detectron2", "detectron2", ".pkl"

    def names(self, backbone: Backbone) -> dict[str, str]:
        """Return Detectron2's names for plain ResNets, else `timm_model.` before timm's."""
        kept = self.without_counters(backbone)
        if plain_depth(backbone.arch) is None:
            return {name: WRAPPED + name for name in kept}
        return {name: detectron2_name(name) for name in kept}

    def save(self, tensors: dict[str, Tensor], backbone: Backbone, path: Path) -> Path:
        """Write {"model": arrays, ...}, which Detectron2 matches to a detector's names by their endings.

        In a detector the stages lie at `backbone.res2` and `roi_heads.res5`; without matching, its
        checkpointer would load nothing and only log it.
        """
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        with path.open("wb") as stream:
            pickle.dump({"model": arrays, "__author__": "mmbench", "matching_heuristics": True}, stream)
        return path

    def features(self, backbone: Backbone, path: Path, images: Tensor) -> list[Tensor]:
        """Return res2 to res5 of Detectron2's own `build_resnet_backbone`, fed by its own checkpointer."""
        depth = plain_depth(backbone.arch)
        if depth is None:
            return _wrapped_features(backbone, path, images)
        from detectron2.checkpoint import DetectionCheckpointer
        from detectron2.config import get_cfg
        from detectron2.layers import ShapeSpec
        from detectron2.modeling.backbone.resnet import build_resnet_backbone

        stages = ["res2", "res3", "res4", "res5"]
        cfg = get_cfg()
        settings = cfg.MODEL.RESNETS
        settings.DEPTH, settings.OUT_FEATURES, settings.STRIDE_IN_1X1, settings.NORM = (
            depth,
            stages,
            False,
            "BN",
        )
        if depth < 50:
            settings.RES2_OUT_CHANNELS = 64
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
    with path.open("rb") as stream:
        arrays = pickle.load(stream)["model"]  # the file that was written a moment ago, by ourselves
    model = timm.create_model(backbone.arch, num_classes=0)
    counters = {n: t for n, t in model.state_dict().items() if n.endswith("num_batches_tracked")}
    state = {name.removeprefix(WRAPPED): torch.from_numpy(array) for name, array in arrays.items()}
    load_exactly(model, {**counters, **state}, what=str(path))
    return timm_stages(model.eval(), images)


TARGETS.register("detectron2")(Detectron2())
