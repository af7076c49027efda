"""The architecture options that a configuration inside a file states of its backbone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbench.checkpoints.networks.options import ARCH_OPTIONS, Options, in_words, is_ours
from mmbench.checkpoints.openmmlab.network import (
    KNOWN_TYPES,
    geometry_in_words,
    has_bottlenecks,
    is_residual,
    nearest_output_stride,
    output_stride_of,
    unlike_ours,
)
from mmbench.errors import UserError

IN_CONFIGURATION = "the configuration inside the file"


def configured_options(
    settings: Mapping[str, Any] | None, arch: str, stated: Options, weights: Path, *, named: bool
) -> tuple[dict[str, bool | int], list[str]]:
    """Return the options that an OpenMMLab backbone's settings ask for, and a phrase if they are overruled.

    Args:
        settings: of the backbone; None where there is no configuration.
        arch: timm name of the architecture that is read.
        stated: options from the command line, which win.
        weights: the file, for messages.
        named: whether the architecture was named, which decides where blocks stride.

    Raises:
        UserError: no architecture here is built like that, and the nearest is not stated.
    """
    kind = str((settings or {}).get("type", "")).rpartition(".")[2]
    if settings is None or not is_residual(arch):
        return {}, []
    if kind == "TIMMBackbone":
        value = settings.get("output_stride", 32)
        found = value if value in ARCH_OPTIONS["output_stride"] else None
        words = f"output_stride={value}"
    else:
        if other := unlike_ours(settings):
            raise UserError(
                f"{weights}: its configuration builds the backbone with {other}, which mmbench cannot; take "
                "the configuration (meta) out of the file where it makes no difference"
            )
        words = geometry_in_words(settings)
        if kind not in KNOWN_TYPES and not words:
            return {}, []
        found = output_stride_of(settings, arch)
    chosen = stated.get("output_stride")
    if found is None and chosen is None:
        raise UserError(
            f"{weights}: its configuration builds the backbone with {words}, and no option of {arch} does "
            "the same; to read it all the same, state the nearest: --arch-option output_stride="
            f"{nearest_output_stride(settings)}"
        )
    options: dict[str, bool | int] = {} if found is None else {"output_stride": found}
    overruled = chosen is not None and chosen != found
    said = (
        f"{in_words({'output_stride': chosen or 0})} as stated, although {IN_CONFIGURATION} says "
        f"{words or 'nothing of dilations'}"
    )
    if kind in KNOWN_TYPES and not named and has_bottlenecks(arch) and is_ours(arch):
        options["early_stride"] = str(settings.get("style", "pytorch")) == "caffe"
    return options, [said] if overruled else []
