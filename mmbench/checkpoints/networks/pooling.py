"""How timm's architectures make one vector of their last features, and what a config.json may say of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mmbench.errors import UserError

MEANS = ("avg", "fast")  # of timm's SelectAdaptivePool2d: the same numbers


@functools.cache
def network_on_meta(arch: str) -> nn.Module:
    """Return timm's architecture without memory behind its tensors."""
    import timm

    with torch.device("meta"):
        model: nn.Module = timm.create_model(arch, num_classes=0)
    return model


def own_pooling(arch: str) -> tuple[str, ...]:
    """Return the names of an architecture's own pooling in timm, none where it does not show it.

    It is "token" for a class token; a network of convolutions has "avg", for which "fast" is another name.
    """
    model = network_on_meta(arch)
    for place in (model, getattr(model, "head", None), getattr(model, "classifier", None)):
        found = getattr(place, "global_pool", None)
        if isinstance(found, str) and found:
            return (found,)
        kind = getattr(found, "pool_type", None)
        if isinstance(kind, str) and kind:
            return MEANS if kind in MEANS else (kind,)
    return ()


def require_own_pooling(config: Mapping[str, Any], arch: str) -> None:
    """Check that timm's config.json asks for the pooling that mmbench builds: the architecture's own.

    timm takes it from `model_args`, otherwise from `pretrained_cfg`, which old files do not keep apart.

    Raises:
        UserError: it asks for another, or for none.
    """
    arguments, own_cfg = config.get("model_args"), config.get("pretrained_cfg")
    cfg = own_cfg if isinstance(own_cfg, dict) else config
    places = (
        ("model_args", arguments if isinstance(arguments, dict) else {}),
        ("pretrained_cfg" if cfg is own_cfg else "config.json", cfg),
    )
    for place, values in places:
        if (stated := values.get("global_pool")) is None:
            continue
        own = own_pooling(arch)
        if stated not in own:
            builds = f"{own[0]} alone" if own else "as timm does without it"
            raise UserError(
                f"config.json builds the network with global_pool={str(stated)[:40] or repr('')}, but "
                f"mmbench pools the features of {arch} by {builds}; remove it from {place} where they are to "
                "be pooled like that"
            )
        return
