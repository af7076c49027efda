"""The networks that OpenMMLab's own libraries build from the settings of a backbone."""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from mmbench.checkpoints.openmmlab.network import geometry_in_words

LIBRARIES = ("mmpretrain", "mmseg")  # whose ResNet equals mmdet's
# Settings that concern training or loading.
WITHOUT_EFFECT = ("init_cfg", "pretrained", "frozen_stages", "norm_eval", "with_cp")


@dataclass(frozen=True)
class Built:
    """A library's own network: normalised images (N, 3, H, W) -> maps, of which the last is the last stage's.

    Attributes:
        words: a phrase that names it and what it was built from.
    """

    library: str
    network: nn.Module
    words: str


def built_as_configured(settings: Mapping[str, Any]) -> Built | str:
    """Return a library's network of all settings of the backbone, or a phrase that says why there is none.

    The first library is taken that knows every setting; mmseg alone knows `contract_dilation`.
    """
    libraries = registries()
    if not libraries:
        return f"neither {' nor '.join(LIBRARIES)} is installed or imports here"
    kind = str(settings.get("type", "ResNet")).rpartition(".")[2]
    config = {name: value for name, value in settings.items() if name not in WITHOUT_EFFECT}
    config |= {"out_indices": (int(settings.get("num_stages", 4)) - 1,), "norm_cfg": _on_one_device(settings)}
    reason = ""
    for library, registry in libraries.items():
        try:
            network = registry.build(config | {"type": f"{library}.{kind}"})
        except (TypeError, KeyError, AssertionError) as unknown:  # a setting, or a type, of another library
            reason = " ".join(str(unknown).split())[:100]
            continue
        said = f"style {settings.get('style', 'pytorch')}, {geometry_in_words(settings)}".rstrip(", ")
        return Built(library, network, f"{library}'s own {kind}-{settings.get('depth')}, {said}")
    return f"none of {', '.join(libraries)} builds the backbone of the configuration ({reason})"


@contextlib.contextmanager
def without_messages() -> Iterator[None]:
    """Within the context mmengine's logger, which writes to the terminal, gives warnings and errors only."""
    logger = importlib.import_module("mmengine.logging").MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def registries() -> dict[str, Any]:
    """Return those of OpenMMLab's libraries that are here, with their registries of networks."""
    found = {}
    for library in LIBRARIES:
        try:
            importlib.import_module(f"{library}.models")
            found[library] = importlib.import_module(f"{library}.registry").MODELS
        except Exception:  # these packages assert their neighbours' versions
            continue
    return found


def _on_one_device(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of normalisation layers without what several devices have in common."""
    found = settings.get("norm_cfg")
    norm = dict(found) if isinstance(found, dict) else {}
    kind = str(norm.get("type", "BN"))
    return norm | {"type": "BN" if "BN" in kind else kind}
