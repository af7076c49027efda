"""Weights of torchvision, such as resnet50.IMAGENET1K_V2, for the networks that timm builds as well."""

from __future__ import annotations

from typing import Any

import timm
import torch
import torchvision
from torch import nn

from mmbench.checkpoints.networks.architecture import shapes_of, wanted_shapes
from mmbench.checkpoints.weights_by_name.hub import fetch_url
from mmbench.checkpoints.weights_by_name.named_weights import NamedWeights, headless, unknown
from mmbench.errors import UserError

CLASSIFIERS = ("fc", "classifier", "head", "heads")  # as torchvision's networks call it


def torchvision_weights(name: str) -> NamedWeights:
    """Return weights of torchvision; without the part behind the dot its default ones.

    Raises:
        UserError: an unknown name, a network whose tensors timm names otherwise, or weights that cannot be
            had.
    """
    arch, _, wanted = name.partition(".")
    arch = arch.lower()
    models = torchvision.models
    if arch not in models.list_models():
        raise unknown("model of torchvision", arch, models.list_models(), "torchvision.models.list_models()")
    weights = {one.name: one for one in models.get_model_weights(arch)}
    if not weights:
        raise UserError(f"torchvision has no weights for {arch}; name a file, or other weights")
    if wanted and wanted not in weights and wanted != "DEFAULT":
        listing = f"list(torchvision.models.get_model_weights('{arch}'))"
        raise unknown(f"weights of torchvision's {arch}", wanted, weights, listing)
    chosen = models.get_model_weights(arch)[wanted or "DEFAULT"]
    spec = f"torchvision:{arch}.{chosen.name}"
    if not _is_timms(arch):
        near = timm.list_pretrained(f"{arch}*")
        instead = f", such as timm:{near[0]}" if near else ""
        raise UserError(
            f"{spec}: timm has no {arch} whose tensors have torchvision's names, and mmbench builds networks "
            f"by timm; use weights of timm{instead}"
        )
    file = fetch_url(chosen.url, spec)
    try:
        network = models.get_model(arch, weights=chosen, progress=False)
    except (RuntimeError, OSError, EOFError) as error:
        line = " ".join(str(error).split())[:200]
        raise UserError(f"{spec}: torchvision cannot load {file.name} ({line}); delete it") from None
    full = network.state_dict()
    for attribute in CLASSIFIERS:
        if hasattr(network, attribute):
            setattr(network, attribute, nn.Identity())
    arch, tensors, dropped = headless(full, network, (arch,), spec)
    config = {"architecture": arch, "pretrained_cfg": _configuration(chosen)}
    origin = f"torchvision's configuration of {arch}.{chosen.name}"
    arm = spec.replace(":", "-")
    return NamedWeights(
        spec, arm, "torchvision", arch, network.eval(), tensors, config, origin, file, dropped
    )


def _is_timms(arch: str) -> bool:
    """Return whether timm has an architecture of this name with torchvision's names and shapes of tensors."""
    if not timm.is_model(arch):
        return False
    with torch.device("meta"):
        theirs = shapes_of(torchvision.models.get_model(arch, weights=None).state_dict())
    return wanted_shapes(arch).items() <= theirs.items()


def _configuration(weights: Any) -> dict[str, Any]:
    """Return what torchvision says of images, under timm's names."""
    preset = weights.transforms()
    size, resized = int(preset.crop_size[0]), int(preset.resize_size[0])
    return {
        "mean": list(preset.mean),
        "std": list(preset.std),
        "input_size": [3, size, size],
        "crop_pct": size / resized,
        "interpolation": preset.interpolation.value,
        "description": " ".join(str(weights.meta.get("_docs", "")).split()),
    }
