"""Proof that every tensor of a checkpoint is in a dense network, whose library only logs what it misses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.errors import UserError

WRAPPED = "timm_model."  # the attribute that holds timm's network in both libraries' wrappers


def feature_tensors(
    backbone: Backbone, timm_model: nn.Module, task: str
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return what a dense network's `timm_model` must hold, as `timm_model.NAME`.

    timm's feature extractors call a stage `stages_0` where the network says `stages.0`; apart from dots and
    underscores the names are equal, which is how they are matched.

    Returns:
        The tensors, and the names of those that belong behind the last feature map (a final norm or a
        classifier's own layers), for which a dense network has no place.

    Raises:
        UserError: a tensor of `timm_model` is not in the checkpoint.
    """
    by_flat_name = {name.replace(".", "_"): name for name in backbone.state_dict}
    sources = {name: by_flat_name.get(name.replace(".", "_")) for name in timm_model.state_dict()}
    missing = sorted(name for name, source in sources.items() if source is None)
    if missing:
        raise UserError(
            f"{len(missing)} tensors of '{backbone.arch}' as a feature extractor are not in the checkpoint "
            f"({', '.join(missing[:4])}); this architecture cannot be used for {task}"
        )
    used = {source: WRAPPED + name for name, source in sources.items() if source is not None}
    tensors = {place: backbone.state_dict[source] for source, place in used.items()}
    return tensors, tuple(sorted(backbone.state_dict.keys() - used.keys()))


def require_arrival(
    expected: Mapping[str, Tensor], held: Mapping[str, Tensor], places: Iterable[str], library: str
) -> int:
    """Return how many tensors of a network equal the checkpoint's, bit for bit; all of them must.

    Args:
        expected: place in the network -> tensor of the checkpoint.
        held: the network's tensors.
        places: those that must come from the checkpoint.

    Raises:
        UserError: a tensor did not arrive, or a place was left at random; names them.
    """
    lost = sorted(
        place
        for place, tensor in expected.items()
        if place not in held or not torch.equal(held[place].cpu(), tensor.cpu())
    )
    unfed = sorted(set(places) - expected.keys())
    if lost or unfed:
        raise UserError(
            f"the backbone did not arrive whole in {library}: {len(lost)} tensors were not loaded "
            f"({', '.join(lost[:3]) or 'none'}), {len(unfed)} were left at random "
            f"({', '.join(unfed[:3]) or 'none'}); nothing was trained"
        )
    return len(expected)
