"""What a file's own words say of its network, compared with its tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmbench.checkpoints.networks.architecture import wanted_shapes
from mmbench.checkpoints.networks.plain import COUNTER, plain
from mmbench.checkpoints.networks.pooling import network_on_meta
from mmbench.errors import UserError

NAMES = ("arch", "architecture", "backbone", "backbone_name", "model_name")
STEM = "conv1.weight"  # whose kernel a name leaves open: networks for small images have another


def said_otherwise(
    content: Any, config: Mapping[str, Any], settings: Mapping[str, Any] | None, arch: str, weights: Path
) -> list[str]:
    """Return a phrase for each thing that a file's own words say of its network, and its tensors do not.

    Args:
        content: of the file: names of networks lie at its top, or in a section such as `args`.
        config: timm's config.json.
        settings: of the backbone, in an OpenMMLab configuration inside the file.
        arch: timm name of the architecture that is read, whose tensors the file has.
        weights: the file, for messages.

    Raises:
        UserError: an OpenMMLab configuration is of another network, as its strides and dilations would be.
    """
    if other := _configured(settings, arch):
        raise UserError(
            f"{weights}: the configuration inside the file builds {other}, but its tensors are those of "
            f"{arch}; take the configuration (meta) out of the file, or correct it"
        )
    said = [
        f"the file says {place}={name}, but its tensors are those of {arch}, which is read"
        for place, name in _named(content)
        if _is_another(name, arch)
    ]
    width, own = config.get("num_features"), getattr(network_on_meta(arch), "num_features", None)
    if isinstance(width, int) and isinstance(own, int) and width != own:
        said.append(f"config.json says num_features={width}, but {arch} has {own}")
    return said


def _named(content: Any) -> Iterator[tuple[str, str]]:
    """Yield (place, name) of every network that is named beside the weights."""
    for key, value in content.items() if isinstance(content, dict) else ():
        sections = [(f"{key}.{part}", part, one) for part, one in value.items()] if _is_section(value) else []
        for place, name, one in ((f"{key}", key, value), *sections):
            if name in NAMES and isinstance(one, str):
                yield place, one


def _is_section(value: Any) -> bool:
    return isinstance(value, dict) and any(name in value for name in NAMES)


def _is_another(name: str, arch: str) -> bool:
    """Return whether timm has a network of this name with other tensors."""
    import timm

    if name == arch or not timm.is_model(name):
        return False
    ours, theirs = (
        {key: shape for key, shape in wanted_shapes(one).items() if key != STEM and not key.endswith(COUNTER)}
        for one in (arch, name)
    )
    return ours != theirs


def _configured(settings: Mapping[str, Any] | None, arch: str) -> str:
    """Return the network that an OpenMMLab backbone's settings ask for, where the tensors are of another."""
    settings = settings or {}
    kind = str(settings.get("type", "")).rpartition(".")[2]
    name = settings.get("model_name")
    if kind == "TIMMBackbone":
        return name if isinstance(name, str) and _is_another(name, arch) else ""
    depth, network = settings.get("depth"), plain(arch)
    if kind == "ResNet" and isinstance(depth, int) and network is not None and depth != network.depth:
        return f"a ResNet of depth {depth}"
    return ""
