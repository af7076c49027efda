"""Backbone -> a file that Detectron2 loads itself -> proof that every tensor arrived."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.networks.plain import COUNTER
from mmbench.checkpoints.target import TARGETS
from mmbench.errors import UserError
from mmbench.transfer.dense.common.weights import WRAPPED, feature_tensors, require_arrival
from mmbench.transfer.dense.detection.models import TimmBackbone


def write_resnet_weights(backbone: Backbone, folder: Path) -> Path:
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
    tensors, unused = feature_tensors(backbone, timm_model, "detection")
    path = folder / "backbone.pth"
    with path.open("wb") as stream:  # torch's own writer would not say why it fails
        torch.save({"model": tensors, "matching_heuristics": True}, stream)
    return path, unused


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file written by one of the functions above."""
    content: dict[str, Any]
    if path.suffix == ".pkl":  # Detectron2's own format: a pickle of NumPy arrays, written by ourselves
        with path.open("rb") as stream:
            content = pickle.load(stream)
    else:
        content = torch.load(path, weights_only=True)
    return {name: torch.as_tensor(value) for name, value in content["model"].items()}


def require_file_of(backbone: Backbone, path: Path) -> None:
    """Check that a file holds the tensors of a backbone, each under the name that is its own.

    Raises:
        UserError: a tensor differs, or one of the file is not the backbone's.
    """
    stored = read_weights(path)
    if path.suffix == ".pkl":
        places = TARGETS.get("detectron2").names(backbone)
    else:
        flat = {name.replace(".", "_"): name for name in backbone.state_dict}
        bare = {place: place.removeprefix(WRAPPED).replace(".", "_") for place in stored}
        places = {flat[name]: place for place, name in bare.items() if name in flat}
    wrong = sorted(stored.keys() - places.values())
    wrong += [
        place
        for name, place in places.items()
        if place not in stored or not torch.equal(stored[place], backbone.state_dict[name].cpu())
    ]
    if wrong:
        raise UserError(
            f"{path} does not hold the weights of '{backbone.card.arm}': {len(wrong)} tensors differ "
            f"({', '.join(wrong[:3])}); nothing was trained"
        )


def check_arrival(
    model: nn.Module,
    path: Path,
    from_backbone: Callable[[str], bool],
    backbone: Backbone | None = None,
) -> int:
    """Return how many tensors of the file are in the detector, bit for bit; all of them must be.

    Detectron2 matches names by their endings and only logs what it could not match. So after its loading,
    every tensor of the file must be in exactly one place of the model, and every place of the backbone must
    come from the file. Some of Detectron2's norms keep no counters; no output depends on them.

    Args:
        model: the detector, as Detectron2 has loaded it.
        path: the file that it was loaded from.
        from_backbone: whether the tensor of this name must come from the file, see `Detector`.
        backbone: what the file must hold; None leaves that unchecked.

    Raises:
        UserError: names what did not arrive, or what of the file is not the backbone's.
    """
    if backbone is not None:
        require_file_of(backbone, path)
    held = model.state_dict()
    expected = {}
    for name, tensor in read_weights(path).items():
        places = [place for place in held if place.endswith(f".{name}")]
        if places or not name.endswith(COUNTER):
            expected[places[0] if len(places) == 1 else name] = tensor
    return require_arrival(expected, held, filter(from_backbone, held), "Detectron2")
