"""What a file and config.json say of the network in words, compared with the tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mmbench.checkpoints.config_file import images_in
from mmbench.checkpoints.images.timm_config import fixed_size
from mmbench.checkpoints.networks.architecture import wanted_shapes
from mmbench.checkpoints.networks.plain import COUNTER, Shapes, plain
from mmbench.checkpoints.networks.pooling import network_on_meta
from mmbench.errors import UserError

NAMES = ("arch", "architecture", "backbone", "backbone_name", "model_name")
STEM = "conv1.weight"  # whose kernel a name leaves open: networks for small images have another


def said_otherwise(content: Any, settings: Mapping[str, Any] | None, arch: str, weights: Path) -> list[str]:
    """Return a phrase for each thing that a file's own words say of its network, and its tensors do not.

    Args:
        content: of the file: names of networks lie at its top, or in a section such as `args`.
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
    return [
        f"the file says {place}={name}, but its tensors are those of {arch}, which is read"
        for place, name in _named(content)
        if _is_another(name, arch)
    ]


def config_says_otherwise(config: Mapping[str, Any], arch: str, found: Shapes) -> list[str]:
    """Return a phrase for each thing that timm's config.json says of the network, and the tensors do not.

    None of it changes the backbone: how wide it is, what classifies its features, which images it takes.

    Args:
        config: as `read_config` returns it; empty where there is none.
        arch: timm name of the architecture that is read.
        found: name -> shape of the file's tensors, the classifier's among them.
    """
    said = []
    width, own = config.get("num_features"), getattr(network_on_meta(arch), "num_features", None)
    if isinstance(width, int) and isinstance(own, int) and width != own:
        said.append(f"config.json says num_features={width}, but {arch} has {own}")
    classes, classifier = stated_classes(config), classifier_in(config, arch, found)
    if classes is not None and classifier is None and classes and _is_headless(arch, found):
        said.append(f"config.json says num_classes={classes}, but the file has no classifier")
    elif classes is not None and classifier is not None and classifier[1] != classes:
        name, rows = classifier
        said.append(f"config.json says num_classes={classes}, but the classifier ({name}) has {rows}")
    if images_in(config).get("fixed_input_size") and fixed_size(arch) is None:
        said.append(f"config.json says fixed_input_size=true, but {arch} takes images of any size")
    return said


def classes_in(config: Mapping[str, Any], arch: str, found: Shapes) -> int:
    """Return the number of classes of a file, 0 without a classifier: the tensors decide, then config.json.

    Args:
        found: name -> shape of the file's tensors, which may have other names than timm's.
    """
    if (classifier := classifier_in(config, arch, found)) is not None:
        return classifier[1]
    return 0 if _is_headless(arch, found) else stated_classes(config) or 0


def stated_classes(config: Mapping[str, Any]) -> int | None:
    """Return the number of classes that timm's config.json states, None where it states none."""
    classes: int | None = config.get("num_classes", images_in(config).get("num_classes"))
    return classes


def classifier_in(config: Mapping[str, Any], arch: str, found: Shapes) -> tuple[str, int] | None:
    """Return (name, number of classes) of a file's classifier, None where it has none of timm's names.

    Where config.json states a `label_offset`, timm leaves out that many first classes.
    """
    import timm

    usual = timm.get_pretrained_cfg(arch, allow_unregistered=True)
    for layers in (images_in(config).get("classifier"), getattr(usual, "classifier", None)):
        for layer in (layers,) if isinstance(layers, str) else layers or ():
            if found.get(name := f"{layer}.weight"):
                offset = images_in(config).get("label_offset") or 0
                return name, found[name][0] - (offset if isinstance(offset, int) else 0)
    return None


def _is_headless(arch: str, found: Shapes) -> bool:
    """Return whether a file has the tensors of the architecture without a classifier, and no others."""
    return {name for name in found if not name.endswith(COUNTER)} == {
        name for name in wanted_shapes(arch) if not name.endswith(COUNTER)
    }


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
