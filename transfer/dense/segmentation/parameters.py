"""Arguments that a part of mmengine's configuration may have beside those that it has."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from mmengine.registry import OPTIMIZERS, PARAM_SCHEDULERS
from mmseg.registry import MODELS, TRANSFORMS

REGISTRIES = (MODELS, TRANSFORMS, OPTIMIZERS, PARAM_SCHEDULERS)
# Packages whose classes have arguments of their own to pass on.
OWNERS = ("mmseg.", "mmcv.", "mmengine.", "torch.optim", "mmbench.")


def parameters(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return names and usual values of the arguments of the class that a section's "type" names.

    Those of its base classes are taken too, as classes of mmsegmentation pass them on. The usual value of an
    argument that must be given is None.
    """
    kind = section.get("type")
    if not isinstance(kind, str):
        return {}
    built = next((entry for registry in REGISTRIES if (entry := registry.get(kind)) is not None), None)
    if not inspect.isclass(built):
        return {}
    found: dict[str, Any] = {}
    for parent in inspect.getmro(built):
        if not parent.__module__.startswith(OWNERS) or "__init__" not in vars(parent):
            continue
        arguments = list(inspect.signature(vars(parent)["__init__"]).parameters.values())[1:]
        for argument in arguments:
            if argument.kind not in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
                usual = argument.default
                found.setdefault(argument.name, None if usual is argument.empty else usual)
        if all(argument.kind != argument.VAR_KEYWORD for argument in arguments):
            break  # it passes nothing on
    return found
