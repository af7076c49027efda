"""Architecture options: how a network is built where names and shapes of its tensors do not determine it.

`early_stride`: a block strides in its first 1 x 1 convolution (He et al. 2016; Detectron2's STRIDE_IN_1X1).
`output_stride`: 8 or 16 dilates the last stages instead of striding (Chen et al. 2017).
`stem_padding`: of a 3 x 3 stem, 1 or 2. `stem_pool`: a max-pooling follows the stem.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from mmbench.backbone_names import OUR_BACKBONES
from mmbench.checkpoints.card import HighPass, ModelCard
from mmbench.checkpoints.networks.plain import plain
from mmbench.checkpoints.networks.pooling import network_on_meta, require_own_pooling
from mmbench.errors import UserError, unknown_name

Options = Mapping[str, bool | int]
NO_OPTIONS: Options = {}
# Name -> what it may be.
ARCH_OPTIONS: dict[str, tuple[bool | int, ...]] = {
    "early_stride": (False, True),
    "output_stride": (8, 16, 32),
    "stem_padding": (1, 2),
    "stem_pool": (False, True),
}
WORDS: dict[str, bool] = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
# Other arguments of a network in timm's config.json that leave its pooled features as they are.
WITHOUT_EFFECT = (
    "num_classes",
    "drop_rate",
    "drop_path_rate",
    "drop_block_rate",
    "zero_init_last",
    "img_size",
    "pretrained",
    "scriptable",
    "exportable",
)
EXPECTED: dict[str, tuple[object, ...]] = {"in_chans": (3,)}


def parse_arch_options(texts: Iterable[str]) -> dict[str, bool | int]:
    """Return the options of "name=value" texts, checked by name and value.

    Raises:
        UserError: a text without "=", an unknown option, or a value that it does not take.
    """
    options: dict[str, bool | int] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise UserError(f"--arch-option {text}: write it as NAME=VALUE, such as stem_padding=2")
        number = int(value) if value.isascii() and value.isdigit() and len(value) < 10 else value
        options[name] = _checked(name, WORDS.get(value.lower(), number))
    return options


def _checked(name: str, value: object) -> bool | int:
    """Return the value of an option.

    Raises:
        UserError: an unknown option (near match named), or a value that it does not take.
    """
    if name not in ARCH_OPTIONS:
        raise unknown_name("architecture option", name, ARCH_OPTIONS)
    for allowed in ARCH_OPTIONS[name]:
        if type(value) is type(allowed) and value == allowed:
            return allowed
    listing = ", ".join(str(allowed).lower() for allowed in ARCH_OPTIONS[name])
    raise UserError(f"architecture option {name}={value}: it takes {listing}")


def check_options(arch: str, options: Options) -> None:
    """Check that the architecture, which timm knows, can be built with these options.

    Raises:
        UserError: an unknown option, a value that it does not take, or a network that cannot have it.
    """
    for name, value in options.items():
        _checked(name, value)
    if not options:
        return
    written = in_words(options)
    if any(name != "output_stride" for name in options) and not is_ours(arch):
        ours = equal_of_ours(arch)
        hint = f"; name the equal network {ours} by --arch" if ours else ""
        raise UserError(f"{arch} takes no architecture option but output_stride, not {written}{hint}")
    import timm

    try:
        with torch.device("meta"):
            timm.create_model(arch, num_classes=0, **options)
    except (ValueError, TypeError, AssertionError, NotImplementedError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{arch} cannot be built with {written}: {reason}") from None


def is_ours(arch: str) -> bool:
    """Return whether timm's architecture is one of `mmbench.backbones`."""
    if arch in OUR_BACKBONES:
        return True
    import timm
    from timm.models import model_entrypoint

    return bool(timm.is_model(arch)) and model_entrypoint(arch).__module__ == "mmbench.backbones"


def equal_of_ours(arch: str) -> str | None:
    """Return the architecture of ours that is the same network as timm's `arch`, None where there is none."""
    import timm

    if is_ours(arch):
        return arch
    name = f"mixmask_{arch.partition('.')[0]}"
    if not is_ours(name):
        return None
    with torch.device("meta"):
        theirs = timm.create_model(arch, num_classes=0).state_dict()
        ours = timm.create_model(name, num_classes=0).state_dict()
    same = {n: t.shape for n, t in theirs.items()} == {n: t.shape for n, t in ours.items()}
    return name if same else None


def departing(arch: str, options: Options) -> dict[str, bool | int]:
    """Return those options that make another network than the architecture as it is registered."""
    if not options:
        return {}
    standard: dict[str, bool | int] = {
        "early_stride": arch.startswith("msra_"),
        "output_stride": 32,
        "stem_padding": 1,
        "stem_pool": stem_of(arch) != 3,
    }
    return {name: value for name, value in options.items() if value != standard.get(name)}


def in_words(options: Options) -> str:
    """Return options as the command line takes them, with commas between."""
    return ", ".join(f"{name}={str(value).lower()}" for name, value in options.items())


def family_options(source_format: str, arch: str) -> dict[str, bool | int]:
    """Return how the writers of a format build a network, where names and shapes do not determine it.

    solo-learn's networks for CIFAR pad their 3 x 3 stem by 2 and have no max-pooling
    (vturrisi/solo-learn, solo/methods/base.py). torchvision's networks for segmentation dilate the last two
    stages of a ResNet (torchvision/models/segmentation, `replace_stride_with_dilation`).
    """
    if source_format == "solo-learn" and is_ours(arch) and stem_of(arch) == 3:
        return {"stem_padding": 2}
    if source_format == "torchvision-segmentation":
        network = plain(arch)
        return {"output_stride": 8} if network is not None and network.bottleneck else {}
    return {}


def with_network(card: ModelCard, config: Mapping[str, Any], stated: Options) -> ModelCard:
    """Return the card with what is known of how its network is built beyond names and shapes.

    A statement wins over the card, the card over timm's config.json, and that over what is known of the
    format's writers.

    Args:
        config: timm's config.json, empty where there is none; its high-pass filter joins the preprocessing.
        stated: options from the command line.

    Raises:
        UserError: an option that the network cannot have, or a spelling in config.json that is not valid.
    """
    origins = dict(card.origins)
    family = family_options(card.source_format or "", card.arch)
    earlier = dict(
        part.split(": ", 1) for part in origins.get("arch_options", "").split("; ") if ": " in part
    )
    sources = (
        (f"family of {card.source_format}", family),
        ("config.json", options_in(config, card.arch)),
        ("card", card.arch_options),
        ("stated", stated),
    )
    options: dict[str, bool | int] = {}
    said: dict[str, str] = {}
    for origin, found in sources:
        options |= found
        said |= dict.fromkeys(found, origin)
    check_options(card.arch, options)
    facts: dict[str, Any] = {}
    if options != card.arch_options or any(origin == "stated" for origin in said.values()):
        said |= {name: earlier[name] for name in said if said[name] == "card" and name in earlier}
        origins["arch_options"] = "; ".join(f"{name}: {origin}" for name, origin in said.items())
        facts = {"arch_options": options, "origins": origins}
    if card.preprocessing.high_pass is None and (filter_ := high_pass_in(config)) is not None:
        origins["high_pass"] = "config.json"
        preprocessing = card.preprocessing.model_copy(update={"high_pass": filter_})
        facts |= {"preprocessing": preprocessing, "origins": origins}
    return card.model_copy(update=facts)


def stem_of(arch: str) -> int | None:
    """Return the side of the first convolution's kernel, None where the network is not a plain ResNet."""
    from timm.models.resnet import ResNet

    model = network_on_meta(arch)
    if not isinstance(model, ResNet) or not isinstance(model.conv1, nn.Conv2d):
        return None
    return int(model.conv1.kernel_size[0])


def options_in(config: Mapping[str, Any], arch: str) -> dict[str, bool | int]:
    """Return the architecture options that timm's config.json passes to `create_model`.

    Args:
        arch: timm name of the architecture that is built.

    Raises:
        UserError: it passes something else that makes another network, which we would not build.
    """
    arguments = config.get("model_args")
    found = arguments if isinstance(arguments, dict) else {}
    require_own_pooling(config, arch)
    for name, value in found.items():
        if name in (*ARCH_OPTIONS, *WITHOUT_EFFECT, "high_pass", "global_pool") or value is None:
            continue
        if name not in EXPECTED or value not in EXPECTED[name]:
            raise UserError(
                f"config.json builds the network with {name}={str(value)[:40]}, which mmbench cannot; remove "
                "it from model_args where it makes no difference"
            )
    return {name: _checked(name, value) for name, value in found.items() if name in ARCH_OPTIONS}


def high_pass_in(config: Mapping[str, Any]) -> HighPass | None:
    """Return the high-pass filter that timm's config.json builds into the network, None where there is none.

    A reader that builds the network without it puts it into the preprocessing.

    Raises:
        UserError: `model_args.high_pass` is not (kernel size, sigma).
    """
    arguments = config.get("model_args")
    stated = arguments.get("high_pass") if isinstance(arguments, dict) else None
    if stated is None:
        return None
    try:
        kernel_size, sigma = stated
        return HighPass(kernel_size=kernel_size, sigma=sigma)
    except (TypeError, ValueError, ValidationError):
        raise UserError(
            f"config.json: model_args.high_pass is {stated!r}, not [kernel size, sigma]; correct the file"
        ) from None
