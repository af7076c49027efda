"""How images are prepared for weights: what is stated, what the file shows, and what is assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from mmbench.checkpoints.card import Preprocessing
from mmbench.checkpoints.images.sources import Images, images_of_card, images_of_file, with_stated
from mmbench.checkpoints.images.timm_config import require_size, validated
from mmbench.checkpoints.known import Known
from mmbench.checkpoints.networks.configured import IN_CONFIGURATION, configured_options
from mmbench.checkpoints.networks.options import is_ours, options_in
from mmbench.checkpoints.networks.plain import plain
from mmbench.checkpoints.stated import Stated
from mmbench.errors import UserError

BOTTLENECK = "layer1.0.conv3.weight"
OF_NAMES = "the names of the tensors"


@dataclass(frozen=True)
class Prepared:
    """The network and its images, decided.

    Attributes:
        tensors: for RGB images.
        arch_options: how the file shows that the network is built beyond its names and shapes.
        origins: fact -> where it came from.
        changed, assumed: one phrase each.
    """

    arch: str
    tensors: dict[str, Tensor]
    preprocessing: Preprocessing
    arch_options: dict[str, bool | int]
    origins: dict[str, str]
    changed: list[str] = field(default_factory=list)
    assumed: list[str] = field(default_factory=list)


def prepare(known: Known, arch: str, tensors: dict[str, Tensor]) -> Prepared:
    """Return the network for RGB images, its preprocessing and options, with an origin for each.

    Raises:
        UserError: the file shows that its images are not the usual ones, but not all that is needed.
    """
    stated, origins = known.stated, dict[str, str]()
    assumed: list[str] = []
    images = images_of_card(known.card) if known.card else images_of_file(known, arch, origins, assumed)
    if known.evidence.conflict and (stated.mean is None or stated.channels is None):
        raise UserError(
            f"{known.weights}: {known.evidence.conflict}; state what the network expects by --mean, --std "
            "and --channels"
        )
    images = with_stated(images, stated, origins, assumed)
    _require_size(known, images, stated)
    options: dict[str, bool | int] = {}
    changed: list[str] = []
    if known.card is None:
        _refuse_open_facts(known, arch, tensors, images, stated)
        arch, options = _strided(known, arch, tensors, origins, changed)
        found, overruled = configured_options(
            known.evidence.backbone, arch, stated.arch_options, known.weights, named=known.arch_named
        )
        options, assumed = found | options, assumed + overruled
        said = dict.fromkeys(options, IN_CONFIGURATION) if found else {}
        said |= {name: OF_NAMES for name in known.entry.arch_options if name not in options}
        options = {**known.entry.arch_options, **options}
        if said:
            origins["arch_options"] = "; ".join(f"{name}: {where}" for name, where in said.items())
    if images.channels == "bgr":
        tensors = _for_rgb(tensors, arch, known.weights)
        changed.insert(0, "the first convolution from BGR to RGB")
        if not images.in_rgb:
            turned = {name: images.values[name][::-1] for name in ("mean", "std")}
            images = replace(images, values=images.values | turned)
    preprocessing = validated(images.values, known.weights)
    require_size(arch, preprocessing.image_size)
    return Prepared(arch, tensors, preprocessing, options, origins, changed, assumed)


def _require_size(known: Known, images: Images, stated: Stated) -> None:
    """Refuse another size than the one that a high-pass filter was made for."""
    own = known.card.preprocessing.image_size if known.card else None
    if images.values.get("high_pass") and stated.image_size is not None and stated.image_size != own:
        raise UserError("the high-pass filter of these weights fits their own size; leave out --image-size")


def _refuse_open_facts(
    known: Known, arch: str, tensors: Mapping[str, Tensor], images: Images, stated: Stated
) -> None:
    """Refuse weights that are evidently not the usual ones, while not all of their facts are known."""
    evidence = known.evidence
    if images.channels is None:
        raise UserError(
            f"{known.weights}: {evidence.normalisation_origin} do not show whether the network expects RGB "
            "or BGR; state it by --channels rgb or --channels bgr"
        )
    usual = known.entry.preprocessing
    if usual is not None and not images.stated and stated.mean is None:
        raise UserError(
            f"{known.weights}: {known.entry.name} files do not say which mean and std {arch} needs; state "
            f"them by --mean and --std ({known.entry.otherwise})"
        )
    open_facts = []
    if known.frozen and not images.stated and usual is None:
        open_facts += ["--mean 103.53,116.28,123.675 --std 1,1,1"] if stated.mean is None else []
        open_facts += ["--channels bgr"] if stated.channels is None else []
    strided = evidence.early_stride is not None or known.arch_named or "early_stride" in stated.arch_options
    caffe = known.frozen or evidence.like_caffe
    if caffe and BOTTLENECK in tensors and not strided and usual is None:
        network = plain(arch)
        open_facts.append(
            f"--arch msra_resnet{network.depth}" if network else "--arch-option early_stride=true"
        )
    if open_facts:
        shows = (
            "has frozen scales instead of batch-norm statistics (every running mean is 0, every variance 1)"
            if known.frozen
            else f"has {evidence.normalisation_origin} that keep images at 0 to 255"
        )
        raise UserError(
            f"{known.weights} {shows}, as MSRA's (Caffe's) networks do, but does not say how its images and "
            f"strides were; state it, for MSRA's by {' '.join(open_facts)}"
        )


def _strided(
    known: Known,
    arch: str,
    tensors: Mapping[str, Tensor],
    origins: dict[str, str],
    changed: list[str],
) -> tuple[str, dict[str, bool | int]]:
    """Return architecture and options of a network that strides early, where the file shows that it does."""
    import timm

    early = known.evidence.early_stride and BOTTLENECK in tensors
    named = known.arch_named or "early_stride" in {
        **options_in(known.config, arch),
        **known.stated.arch_options,
    }
    if not early or named:
        return arch, {}
    origins["arch"] = f"names and shapes; strides in the 1 x 1 convolutions: {known.evidence.stride_origin}"
    changed.append(f"strides in the first 1 x 1 convolution of a block: {known.evidence.stride_origin}")
    network = plain(arch)
    name = f"msra_resnet{network.depth}" if network and not network.wide else ""
    if name and timm.is_model(name):
        return name, {}
    if is_ours(arch):
        return arch, {"early_stride": True}
    raise UserError(
        f"{known.weights} strides in its 1 x 1 convolutions, and {arch} cannot; name another by --arch"
    )


def _for_rgb(tensors: dict[str, Tensor], arch: str, weights: Path) -> dict[str, Tensor]:
    """Return the tensors with the first convolution's input turned from BGR to RGB."""
    import timm

    cfg = timm.get_pretrained_cfg(arch, allow_unregistered=True)
    first = cfg.first_conv if cfg is not None else "conv1"
    name = f"{first}.weight"
    kernel = tensors.get(name)
    if kernel is None or kernel.ndim != 4 or kernel.shape[1] != 3:
        raise UserError(
            f"{weights} expects BGR images, but {arch} has no first convolution of 3 colours to turn"
        )
    return tensors | {name: kernel.flip(1).contiguous()}
