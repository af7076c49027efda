"""The card of a file that has none: what it states itself, and where each fact came from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmbench.checkpoints.card import ModelCard
from mmbench.files import safe_name

STATED = "stated by --arch"


def card_of_file(
    path: Path, arch: str, arch_origin: str, source_format: str, method: str | None, facts: Mapping[str, Any]
) -> ModelCard:
    """Return a card with what a file itself states.

    Args:
        arch_origin: who named the architecture, empty for nobody.
        facts: that lie beside the weights.
    """
    origins = {"arch": f"{arch_origin}; names and shapes fit" if arch_origin else "names and shapes"}
    fields: dict[str, Any] = {}
    if method is not None:
        fields |= {"method": method, "framework": method}
        origins["method"] = "the keys of the file"
        if method == "moco":
            origins["method"] += "; MixMask's released files have the same"
    if isinstance(facts.get("epoch"), int):
        fields["epochs"] = facts["epoch"]
        origins["epochs"] = "epoch stored in the file"
        if "pytorch-lightning_version" in facts:
            origins["epochs"] += "; Lightning may count from 0"
    stem = path.name.split(".")[0] or path.resolve().name
    return ModelCard(arm=safe_name(stem), arch=arch, source_format=source_format, origins=origins, **fields)
