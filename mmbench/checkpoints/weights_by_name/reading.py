"""Weights by name: `timm:NAME`, `hf-hub:USER/NAME`, `local-dir:FOLDER` and `torchvision:NAME.WEIGHTS`.

The library that a name belongs to loads its own weights, and its configuration fills the card. What mmbench
builds from the tensors must give the features of the library's network, or the name is refused.
"""

from __future__ import annotations

from pathlib import Path

import torch

from mmbench.checkpoints.places import source_of
from mmbench.checkpoints.weights_by_name.named_weights import NamedWeights
from mmbench.errors import UserError
from mmbench.home import home_path


def resolve(spec: str | Path) -> NamedWeights | Path:
    """Return the weights that a name stands for, or the path that was given.

    A name that leads to weights with a card of ours gives their path: the card says more.

    Raises:
        UserError: unknown name (near matches named), weights that are not here and cannot be downloaded, or
            a network that timm does not have.
    """
    named = source_of(spec)
    if named is None:
        return home_path(spec)
    source, name = named
    if not name:
        raise UserError(f"{spec} names no weights; write it as {source}:NAME")
    from mmbench.checkpoints.weights_by_name.timm_names import from_folder, from_hub, registered
    from mmbench.checkpoints.weights_by_name.torchvision_names import torchvision_weights

    with torch.random.fork_rng(devices=[]):  # libraries fill a network at random before they load it
        if source == "timm":
            return registered(name)
        if source == "torchvision":
            return torchvision_weights(name)
        return from_hub(name) if source == "hf-hub" else from_folder(home_path(name))
