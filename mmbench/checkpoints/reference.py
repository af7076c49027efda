"""The source's features by the network of the library that wrote it, not by ours, where that is known."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.network import plain_network
from mmbench.checkpoints.options import is_ours
from mmbench.checkpoints.parity import TOLERANCE, fixed_batch, relative_error
from mmbench.checkpoints.stages import timm_stages
from mmbench.checkpoints.target import TARGETS
from mmbench.errors import UserError

NODES = ("relu", "layer1", "layer2", "layer3", "layer4")
# Formats whose writers build torchvision's ResNet or a copy of it (SwAV's and VICReg's pad in two steps).
BUILT_BY_TORCHVISION = (
    "torchvision",
    "moco",
    "moco-v3",
    "simsiam",
    "barlow-twins",
    "vicreg",
    "swav",
    "dino",
    "vissl",
    "solo-learn",
    "lightly",
    "sequential",
)
# Other formats -> the target whose library wrote them; of several the first that imports.
WRITTEN_BY = {
    "detectron2": ("detectron2",),
    "caffe2": ("detectron2",),
    "openmmlab": ("mmpretrain", "mmseg", "mmdet"),
}


def compare_with_source(backbone: Backbone, target: str) -> str:
    """Compare our network's features with those of the library that the weights come from.

    Args:
        target: where the weights go; its own network is compared anyway.

    Returns:
        What was compared, in words; empty where that library is unknown, absent or the target itself.

    Raises:
        UserError: the features differ after a stage.
    """
    images = fixed_batch()
    found = _of_torchvision(backbone, images, target) or _of_another(backbone, images, target)
    if found is None:
        return ""
    theirs, words = found
    ours = timm_stages(backbone.build().eval(), images)
    skipped = len(ours) - len(theirs)
    for number, (own, other) in enumerate(zip(ours[skipped:], theirs, strict=True), start=skipped):
        error = relative_error(other, own) if own.shape == other.shape else float("inf")
        if not error <= TOLERANCE:
            raise UserError(
                f"{words} gives other features than {backbone.arch} (stage {number} differs by {error:.2e}), "
                "so these weights are not of the network that they seem to be of; state it by --arch or "
                "--arch-option"
            )
    return f"the source by {words}"


def _of_torchvision(backbone: Backbone, images: Tensor, target: str) -> tuple[list[Tensor], str] | None:
    """Return stem and stages by torchvision's ResNet, its stem replaced as for CIFAR where it is 3 x 3."""
    if backbone.card.source_format not in BUILT_BY_TORCHVISION or target == "torchvision":
        return None
    network = plain_network(Backbone(backbone.arch, {}, backbone.card, filter_outside=True))
    with torch.device("meta"):  # replaced by the checkpoint's tensors, so nothing is drawn
        if network is not None and not network.early_stride:
            name = f"wide_resnet{network.depth}_2" if network.wide else f"resnet{network.depth}"
            model: nn.Module = getattr(torchvision.models, name)()
        else:
            small = _with_small_stem(backbone)
            if small is None:
                return None
            model, name = small
    model.fc = nn.Identity()
    model.load_state_dict(backbone.state_dict, strict=True, assign=True)
    extractor = create_feature_extractor(model.eval(), list(NODES))
    with torch.inference_mode():
        return list(extractor(images).values()), f"torchvision.models.{name}"


def _with_small_stem(backbone: Backbone) -> tuple[nn.Module, str] | None:
    """Return torchvision's ResNet with its stem replaced as the codebases for CIFAR do, and its name.

    Source: vturrisi/solo-learn, solo/methods/base.py.
    """
    name = backbone.arch.removeprefix("mixmask_").removesuffix("_cifar")
    options = dict(backbone.card.arch_options)
    if not is_ours(backbone.arch) or not backbone.arch.endswith("_cifar") or options.get("early_stride"):
        return None
    model: nn.Module = getattr(torchvision.models, name)()
    padding = int(options.get("stem_padding", 1))
    model.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=padding, bias=False)
    if not options.get("stem_pool"):
        model.maxpool = nn.Identity()
    return model, f"{name} with a 3 x 3 stem (padding {padding})"


def _of_another(backbone: Backbone, images: Tensor, target: str) -> tuple[list[Tensor], str] | None:
    """Return the stages by the target library that wrote the source, through a file of its own."""
    bare = Backbone(backbone.arch, backbone.state_dict, backbone.card, filter_outside=True)
    network = plain_network(bare)
    names = WRITTEN_BY.get(backbone.card.source_format or "", ())
    if network is None or target in names or (network.wide and "detectron2" not in names):
        return None
    library = next((TARGETS.get(name) for name in names if TARGETS.get(name).installed), None)
    if library is None:
        return None
    renamed = library.names(bare)
    with tempfile.TemporaryDirectory(prefix="mmbench-") as folder:
        path = Path(folder) / f"source{library.ending or '.pth'}"
        library.save({new: backbone.state_dict[name] for name, new in renamed.items()}, bare, path)
        return library.features(bare, path, images), library.model(bare)
