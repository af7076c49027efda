"""Proof of a reading: the library that wrote a file builds its own network from it, and gives our features.

The other proof compares a converted file with what was read; this one compares what was read, with the
preprocessing on its card, with raw images of 0 to 255 through the source library's own network. Tensors go
there by their stored names, and not through our tables of names.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from mmbench.checkpoints.assumed import WRITERS_WITH_TORCHVISION, undetermined
from mmbench.checkpoints.files.opening import Opened
from mmbench.checkpoints.images.timm_config import fixed_size, preprocessing_in
from mmbench.checkpoints.known import Known
from mmbench.checkpoints.networks.options import departing
from mmbench.checkpoints.networks.plain import COUNTER, Plain, plain
from mmbench.checkpoints.openmmlab.build import built_as_configured
from mmbench.checkpoints.openmmlab.config import facts_in
from mmbench.checkpoints.proof.parity import SIDE, relative_error
from mmbench.checkpoints.proof.receipt import SourceParity
from mmbench.checkpoints.reading import ReadCheckpoint
from mmbench.checkpoints.tensors.naming import Renamed
from mmbench.checkpoints.weights_by_name.named_weights import NamedWeights
from mmbench.errors import UserError
from mmbench.images.preprocessing import Preprocess

TOLERANCE = 1e-4  # relative; raw images of 0 to 255 lose a digit more than normalised ones
DETECTRON2_NAME = re.compile(r"(?:^|\.)((?:stem|res[2-5])\..+)$")
TORCHVISION_NAME = re.compile(r"(?:^|\.)((?:conv1|bn1)\.\w+|layer[1-4]\..+)$")
# Formats whose writers train torchvision's own ResNet on images that are normalised as ImageNet's.
OF_TORCHVISION = ("torchvision", "torchvision-segmentation", *WRITERS_WITH_TORCHVISION)
NOT_TOLD = "; others of the same names and shapes, see what is assumed, cannot be told from it by its tensors"
# Raw RGB images of 0 to 255, float (N, 3, H, W) -> the last map of features.
Source = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Library:
    """The source library's own network, with its own normalisation in front.

    Attributes:
        pooled: whether it gives pooled features, and not the last map.
    """

    name: str
    words: str
    features: Source
    pooled: bool = False


def prove_source(read: ReadCheckpoint) -> SourceParity:
    """Compare our features of raw images with those of the library that the file is of.

    Raises:
        UserError: they differ, so the file is not what it was taken for.
    """
    if read.opened is None or read.known is None or read.renamed is None:
        return SourceParity(words="the source was not kept to be compared with")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries about their own insides
        try:
            library = _library(read, read.opened, read.known, read.renamed)
        except ImportError as missing:
            return SourceParity(words=f"{missing.name or missing} is not installed or does not import here")
        except (RuntimeError, KeyError, AssertionError, TypeError) as misfit:
            line = " ".join(str(misfit).split())[:100]
            return SourceParity(words=f"the source library's network does not take these tensors ({line})")
        if isinstance(library, str):
            return SourceParity(words=library)
        images = _raw_images(fixed_size(read.backbone.arch) or SIDE)
        with torch.inference_mode():
            network = read.backbone.build().eval()
            prepared = Preprocess(read.backbone.card.preprocessing)(images)
            ours: Tensor = network(prepared) if library.pooled else network.forward_features(prepared)  # type: ignore[operator]
            theirs = library.features(images.float())
    if not torch.isfinite(theirs).all():
        return SourceParity(library=library.name, words=f"{library.words} overflows on raw images")
    error = relative_error(ours, theirs) if ours.shape == theirs.shape else float("inf")
    if not error <= TOLERANCE:
        raise UserError(
            f"{read.reading.source}: {library.words} gives other features than what was read (relative error "
            f"{error:.1e}); state how the file is to be read by options, or convert it by --no-verify"
        )
    return SourceParity(library=library.name, error=error, words=library.words)


def _raw_images(side: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 3, side, side), dtype=torch.uint8, generator=generator)


def _library(read: ReadCheckpoint, opened: Opened, known: Known, renamed: Renamed) -> _Library | str:
    """Return the source library's network, or a phrase that says why there is none to compare with."""
    card, network = read.backbone.card, plain(read.backbone.arch)
    if known.card is not None:
        return "mmbench's own weights, whose card says how they are used"
    facts = facts_in(opened.content.get("meta")) if isinstance(opened.content, dict) else None
    images = facts is not None and (facts.mean is not None or known.stated.mean is not None)
    openmmlab = facts.backbone if facts is not None and images else None
    options = departing(read.backbone.arch, card.arch_options)
    name = read.reading.format
    of_torchvision = name in OF_TORCHVISION and read.named is None and not known.config
    dilates = openmmlab or (of_torchvision and network is not None and network.bottleneck)
    buildable = {"early_stride"} | ({"output_stride"} if dilates else set())
    if set(options) - buildable or card.preprocessing.high_pass is not None:
        return "no library builds this network with these options by itself"
    if network is not None:
        network = replace(network, early_stride=bool(options.get("early_stride", network.early_stride)))
    if read.named is not None:
        return _by_name(read, read.named, known)
    stored = {fate.source: opened.tensors[fate.source].float() for fate in renamed.fates}
    if known.config and not renamed.changed:
        return _timm(read, stored, known)
    if network is None:
        return f"no library is known that builds {read.backbone.arch} by itself"
    if name == "detectron2":
        return _detectron2(stored, network, _normalisation(read, opened, known))
    if openmmlab is not None:
        return _openmmlab(stored, openmmlab, _normalisation(read, opened, known))
    if name in OF_TORCHVISION and not network.early_stride and not known.frozen:
        library = _torchvision(stored, network, known, int(options.get("output_stride", 32)))
        return replace(library, words=library.words + NOT_TOLD) if undetermined(card) else library
    return f"the {name} format does not say which library's network and images it is of"


@dataclass(frozen=True)
class _Normalisation:
    """Of raw images of 0 to 255, whose colours the network gets in the order RGB or BGR."""

    mean: Tensor
    std: Tensor
    bgr: bool
    origin: str

    def __call__(self, images: Tensor) -> Tensor:
        ordered = images.flip(1) if self.bgr else images
        return (ordered - self.mean.view(3, 1, 1)) / self.std.view(3, 1, 1)


def _normalisation(read: ReadCheckpoint, opened: Opened, known: Known) -> _Normalisation:
    """Return what the file itself says, in its own numbers; what was stated, where it was."""
    stated = known.stated
    channels = stated.channels or known.evidence.channels or known.entry.channels
    origin = read.backbone.card.origins.get("preprocessing", "the card")
    if stated.mean is not None and stated.std is not None:
        mean, std = (torch.tensor(values) * 255 for values in (stated.mean, stated.std))
        return _Normalisation(mean, std, channels == "bgr", origin)
    facts = facts_in(opened.content.get("meta")) if isinstance(opened.content, dict) else None
    if facts is not None and facts.mean is not None and facts.std is not None:
        return _Normalisation(torch.tensor(facts.mean), torch.tensor(facts.std), channels == "bgr", origin)
    for name, tensor in opened.tensors.items():
        if name.endswith("pixel_mean"):
            std = opened.tensors[f"{name.removesuffix('mean')}std"]
            return _Normalisation(tensor.flatten().float(), std.flatten().float(), channels == "bgr", origin)
    usual = read.backbone.card.preprocessing
    mean, std = (torch.tensor(values) * 255 for values in (usual.mean, usual.std))
    turned = channels == "bgr"
    return _Normalisation(mean.flip(0) if turned else mean, std.flip(0) if turned else std, turned, origin)


def _named(stored: Mapping[str, Tensor], pattern: re.Pattern[str]) -> dict[str, Tensor]:
    """Return tensors under the library's own names: what stands before them is cut off."""
    found = {}
    for name, tensor in stored.items():
        match = pattern.search(name)
        if match is not None and not name.endswith(COUNTER):
            found[match[1]] = tensor
    return found


def _filled(model: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Load a state, strictly but for the counters of batch norms, and return the model for evaluation."""
    counters = {name: tensor for name, tensor in model.state_dict().items() if name.endswith(COUNTER)}
    model.load_state_dict({**counters, **state}, strict=True)
    model.eval()
    return model


def _detectron2(stored: Mapping[str, Tensor], network: Plain, normalise: _Normalisation) -> _Library:
    from detectron2.config import get_cfg
    from detectron2.layers import ShapeSpec
    from detectron2.modeling.backbone.resnet import build_resnet_backbone

    cfg = get_cfg()
    settings = cfg.MODEL.RESNETS
    settings.DEPTH, settings.NORM, settings.OUT_FEATURES = network.depth, "FrozenBN", ["res5"]
    settings.STRIDE_IN_1X1 = network.early_stride
    settings.WIDTH_PER_GROUP = 128 if network.wide else 64
    settings.RES2_OUT_CHANNELS = 256 if network.bottleneck else 64
    model = _filled(build_resnet_backbone(cfg, ShapeSpec(channels=3)), _named(stored, DETECTRON2_NAME))
    order = "BGR" if normalise.bgr else "RGB"
    words = (
        f"Detectron2's own ResNet-{network.depth}, STRIDE_IN_1X1 {network.early_stride}, on raw {order} "
        f"images, normalised by {normalise.origin}"
    )
    return _Library("detectron2", words, lambda images: model(normalise(images))["res5"])


def _openmmlab(
    stored: Mapping[str, Tensor], settings: Mapping[str, Any], normalise: _Normalisation
) -> _Library | str:
    """Build the library's own network from all settings of the backbone, so that none can be missed."""
    built = built_as_configured(settings)
    if isinstance(built, str):
        return built
    network = _filled(built.network, _named(stored, TORCHVISION_NAME))
    words = f"{built.words}, on raw images, normalised by {normalise.origin}"
    return _Library(built.library, words, lambda images: network(normalise(images))[-1])


def _torchvision(stored: Mapping[str, Tensor], network: Plain, known: Known, output_stride: int) -> _Library:
    name = f"wide_resnet{network.depth}_2" if network.wide else f"resnet{network.depth}"
    dilated = [False, output_stride == 8, output_stride <= 16]
    settings = {"replace_stride_with_dilation": dilated} if any(dilated) else {}
    model = getattr(torchvision.models, name)(**settings)
    model.fc = nn.Identity()
    _filled(model, _named(stored, TORCHVISION_NAME))
    usual = torchvision.models.get_model_weights(name).DEFAULT.transforms()
    stated = known.stated
    mean = torch.tensor(stated.mean or known.evidence.mean or usual.mean) * 255
    std = torch.tensor(stated.std or known.evidence.std or usual.std) * 255
    bgr = (stated.channels or known.evidence.channels) == "bgr"
    own = (
        "what was stated"
        if stated.mean
        else "what the file says"
        if known.evidence.mean
        else "its own numbers"
    )
    if bgr and not stated.mean and not known.evidence.mean:
        mean, std = mean.flip(0), std.flip(0)
    normalise = _Normalisation(mean, std, bgr, own)
    body = nn.Sequential(*list(model.children())[:-2])
    built = f"torchvision.models.{name}" + (f", dilated to stride {output_stride}," if settings else "")
    words = f"{built} on raw {'BGR' if bgr else 'RGB'} images, normalised by {own}"
    return _Library("torchvision", words, lambda images: body(normalise(images)))


def _by_name(read: ReadCheckpoint, named: NamedWeights, known: Known) -> _Library | str:
    """Return the network that a library loaded by name, with the normalisation of its configuration."""
    normalise = _configured(read, known)
    if isinstance(normalise, str):
        return normalise
    words = f"{named.library}'s own {named.arch} on raw RGB images, normalised by {normalise.origin}"
    return _Library(named.library, words, lambda images: named.network(normalise(images)), pooled=True)


def _configured(read: ReadCheckpoint, known: Known) -> _Normalisation | str:
    """Return the normalisation of a configuration, and of the card where it states none."""
    if known.stated.mean is not None or known.stated.channels == "bgr":
        return "the configuration was overruled by what was stated"
    found, origin = preprocessing_in(known.config, known.weights, known.config_origin)
    if "mean" not in found:
        card = read.backbone.card
        found, origin = card.preprocessing.model_dump(), card.origins["preprocessing"]
    mean, std = (torch.tensor(found[name]) * 255 for name in ("mean", "std"))
    return _Normalisation(mean, std, False, origin)


def _timm(read: ReadCheckpoint, stored: Mapping[str, Tensor], known: Known) -> _Library | str:
    arch = str(known.config["architecture"])
    normalise = _configured(read, known)
    if isinstance(normalise, str):
        return normalise
    model = timm.create_model(arch, num_classes=0)
    names = {name: name for name in model.state_dict()}
    state = {name: tensor for name, tensor in stored.items() if name in names}
    if state.keys() | {name for name in names if name.endswith(COUNTER)} < names.keys():
        return f"its names are not those of timm's {arch}"
    _filled(model, state)
    words = f"timm's own {arch} on raw RGB images, normalised by {normalise.origin}"
    return _Library("timm", words, lambda images: model(normalise(images)), pooled=True)
