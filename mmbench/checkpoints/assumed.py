"""What was assumed of a network because neither its file nor the user states it."""

from __future__ import annotations

from mmbench.checkpoints.card import ModelCard
from mmbench.checkpoints.networks.configured import IN_CONFIGURATION
from mmbench.checkpoints.networks.options import family_options, in_words, is_ours, stem_of
from mmbench.checkpoints.networks.plain import plain
from mmbench.checkpoints.networks.pooling import network_on_meta
from mmbench.errors import UserError

# Formats whose writers train torchvision's ResNet: facebookresearch/moco, moco-v3, simsiam, barlowtwins,
# vicreg, swav, dino and vissl; solo-learn.
WRITERS_WITH_TORCHVISION = (
    "moco",
    "moco-v3",
    "simsiam",
    "barlow-twins",
    "vicreg",
    "swav",
    "dino",
    "vissl",
    "solo-learn",
)
# With those that build an equal one, so that nothing is open behind a 7 x 7 stem. Formats that tell no
# library (`backbone`, `encoder`, `sequential`) are not among them.
KNOWN_NETWORKS = (*WRITERS_WITH_TORCHVISION, "torchvision-segmentation", "lightly", "caffe2")
WITHOUT_FILTERS = (*KNOWN_NETWORKS, "detectron2")
OWN_FORMATS = ("run", "training state", "random", "pixels")
# What the user states where a file is not as its format's writers build it.
OTHERWISE = {"stem_padding": "stem_padding=1", "output_stride": "output_stride=32"}
MOCO_V3 = ("base_encoder", "momentum_encoder")
COMPARED = "features compared with"  # in the origin of an architecture whose network was built and compared


def undetermined(card: ModelCard) -> list[str]:
    """Return what was assumed of the network because its file does not state it, one phrase each.

    What the card's `arch_options` state is not open, nor is what every writer of the format builds, nor
    a network that was named as timm's own. What a family builds is said too, since others write the same
    names.
    """
    if card.source_format in OWN_FORMATS or COMPARED in card.origins.get("arch", ""):
        return []
    of_family = _of_family(card)
    if not is_ours(card.arch):
        return of_family + _attention_heads(card.arch)
    from timm.models.resnet import Bottleneck

    stem, known = stem_of(card.arch), card.source_format in KNOWN_NETWORKS
    bottlenecks = any(isinstance(module, Bottleneck) for module in network_on_meta(card.arch).modules())
    phrases: dict[str, str] = {}
    if stem == 3:
        phrases["stem_padding"] = (
            "padding of the 3 x 3 stem: assumed 1 (2 has the same shapes; --arch-option stem_padding=2)"
        )
        phrases["stem_pool"] = (
            "max-pooling behind the 3 x 3 stem: assumed absent (--arch-option stem_pool=true)"
        )
    elif not known:
        phrases["stem_pool"] = (
            "max-pooling behind the 7 x 7 stem: assumed present (--arch-option stem_pool=false)"
        )
    if bottlenecks and not known:
        early = card.arch.startswith("msra_")
        where, other = ("1 x 1", "false") if early else ("3 x 3", "true")
        phrases["early_stride"] = (
            f"stride of a block: assumed in the {where} convolution (--arch-option early_stride={other})"
        )
    if stem != 3 and not known:
        phrases["output_stride"] = (
            "dilation: assumed none (--arch-option output_stride=16 or output_stride=8)"
        )
    if others := _anti_aliased(card):
        phrases["anti_aliasing"] = (
            f"anti-aliasing where a block strides: assumed none (--arch {' or --arch '.join(others)})"
        )
    return of_family + [phrase for name, phrase in phrases.items() if name not in card.arch_options]


def _numbers_of_heads(arch: str) -> set[int]:
    modules = network_on_meta(arch).modules()
    return {number for one in modules if isinstance(number := getattr(one, "num_heads", None), int)}


def _attention_heads(arch: str) -> list[str]:
    """Return how many attention heads a network was built with, which no weight shows."""
    numbers = sorted(_numbers_of_heads(arch))
    listed = ", ".join(map(str, numbers))
    return [f"attention heads: {listed}, as in timm's {arch}; no weight shows them"] if numbers else []


def require_same_heads(arch: str, place: str) -> None:
    """Refuse MoCo v3's ViT-S as timm's, whose names and shapes are the same.

    MoCo v3's has 12 attention heads and timm's 6 (facebookresearch/moco-v3, vits.py, `vit_small`).

    Args:
        place: name of the set of weights, as `--weights` takes it.

    Raises:
        UserError: the weights lie where MoCo v3 puts them.
    """
    of_moco = any(part in MOCO_V3 for part in place.split("."))
    if of_moco and arch.startswith("vit_small_patch16_") and 6 in _numbers_of_heads(arch):
        raise UserError(
            f"{place} lies where MoCo v3 puts its encoder, whose ViT-S has 12 attention heads; {arch} has 6, "
            "with the same names and shapes, and would compute something else: timm has no such network"
        )


def _of_family(card: ModelCard) -> list[str]:
    """Return what was taken from what the writers of the format build, unless the user stated it."""
    said = card.origins.get("arch_options", "")
    return [
        f"{in_words({name: value})}: as {card.source_format} builds it (others have the same names and "
        f"shapes; --arch-option {OTHERWISE[name]})"
        for name, value in family_options(card.source_format or "", card.arch).items()
        if card.arch_options.get(name) == value and f"{name}: stated" not in said
    ]


def _anti_aliased(card: ModelCard) -> tuple[str, ...]:
    """Return timm's networks with anti-aliasing (Zhang 2019) that the file may be of as well.

    Their filters hold no weights. The libraries that write configurations, and Detectron2, have none.
    """
    network = plain(card.arch)
    if network is None or network.wide or network.early_stride or card.source_format in WITHOUT_FILTERS:
        return ()
    if IN_CONFIGURATION in card.origins.get("arch_options", ""):
        return ()
    import timm

    names = (f"resnetaa{network.depth}", f"resnetblur{network.depth}")
    return tuple(name for name in names if timm.is_model(name))
