"""Backbone -> a file that Detectron2 loads itself -> proof that every tensor arrived."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.errors import UserError
from mmbench.transfer.dense.detection.models import TimmBackbone
from mmbench.transfer.dense.feature_names import feature_tensors

# Counters that batch norms keep and that some of Detectron2's norms do not have; no output depends on them.
COUNTER = "num_batches_tracked"


def write_c4_weights(backbone: Backbone, folder: Path) -> Path:
    """Write a plain ResNet under Detectron2's own names and return the file.

    Raises:
        UserError: the backbone does not cover the architecture.
    """
    from mmbench.checkpoints.writing import write_for_detectron2

    path = folder / "backbone.pkl"
    write_for_detectron2(backbone, path)
    return path


def write_timm_weights(
    backbone: Backbone, folder: Path, finest_stride: int = 4
) -> tuple[Path, tuple[str, ...]]:
    """Write any timm ConvNet under the names of TimmBackbone.

    Returns:
        The file, and the names of the tensors for which a detector has no place (`feature_tensors`).

    Raises:
        UserError: the backbone does not cover the architecture.
    """
    backbone.build()  # raises unless the weights are exactly those of the architecture
    timm_model = TimmBackbone(backbone.arch, finest_stride, options=backbone.card.arch_options).timm_model
    tensors, left_over = feature_tensors(backbone, timm_model, "detection")
    path = folder / "backbone.pth"
    torch.save({"model": tensors, "matching_heuristics": True}, path)
    return path, left_over


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file written by one of the functions above."""
    content: dict[str, Any]
    if path.suffix == ".pkl":  # Detectron2's own format: a pickle of numpy arrays, written by ourselves
        with path.open("rb") as stream:
            content = pickle.load(stream)
    else:
        content = torch.load(path, weights_only=True)
    return {name: torch.as_tensor(value) for name, value in content["model"].items()}


def check_arrival(model: nn.Module, path: Path) -> int:
    """Return how many tensors of the file are in the detector, bit for bit; all of them must be.

    Detectron2 matches names by their endings and only logs what it could not match. So this asks three
    things after its loading: every tensor of the file is in exactly one place of the model, that place
    holds the same bits, and nothing of the backbone or of res5 was left as it was initialised.

    Raises:
        UserError: names what did not arrive.
    """
    stored = read_weights(path)
    held = model.state_dict()
    fed: set[str] = set()
    lost = []
    for name, tensor in stored.items():
        places = [place for place in held if place == name or place.endswith(f".{name}")]
        if not places and name.endswith(COUNTER):
            continue
        if len(places) == 1 and torch.equal(held[places[0]].cpu(), tensor):
            fed.add(places[0])
        else:
            lost.append(name)
    unfed = [place for place in held if from_backbone(place) and place not in fed]
    if lost or unfed:
        raise UserError(
            f"the backbone did not arrive whole in Detectron2: {len(lost)} tensors were not loaded "
            f"({', '.join(lost[:3]) or 'none'}), {len(unfed)} were left at random "
            f"({', '.join(unfed[:3]) or 'none'}); nothing was trained"
        )
    return len(fed)


def from_backbone(place: str) -> bool:
    """Whether a tensor of the detector must come from the checkpoint."""
    if place.endswith(COUNTER):
        return False
    if place.startswith("roi_heads.res5."):
        return not place.startswith("roi_heads.res5.norm.")
    return place.startswith("backbone.") and not place.startswith(
        ("backbone.fpn_lateral", "backbone.fpn_output")
    )
