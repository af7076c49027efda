"""What a file shows of the images its network was trained on, and of strides that shapes cannot show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from mmbench.checkpoints.card import IMAGENET_MEAN
from mmbench.checkpoints.openmmlab_config import OpenMMLabFacts, facts_in
from mmbench.checkpoints.stated import Channels
from mmbench.errors import UserError

BYTE = 255.0
# Means of 0 to 255 within this of ImageNet's show the order of the colours: 103.53 (blue) to 123.675 (red).
# Caffe's own networks have 102.98, 115.95 and 122.77.
NEAR = 3.0
# Detectron2 fills a variance with 1, and its FrozenBatchNorm2d with 1 - 1e-5.
ONE = 1e-4
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Evidence:
    """What a file shows; None for what it does not.

    Attributes:
        mean, std: of an image in [0, 1], in the order of `channels`.
        channels: order of the colours.
        early_stride: whether blocks stride in their first 1 x 1 convolution.
        normalisation_origin, stride_origin: phrases that say where these came from.
        backbone: the settings of the backbone in a configuration inside the file.
        conflict: a phrase, where the file says two things of its images; then it is not used for them.
    """

    mean: Triple | None = None
    std: Triple | None = None
    channels: Channels | None = None
    early_stride: bool | None = None
    normalisation_origin: str = ""
    stride_origin: str = ""
    backbone: Mapping[str, Any] | None = None
    conflict: str = ""

    @property
    def like_caffe(self) -> bool:
        """Whether images are BGR and keep their scale of 0 to 255, as those of Caffe's networks do."""
        return self.std is not None and max(self.std) * BYTE < 2


def evidence_in(stored: Mapping[str, Tensor], content: Any, frozen: bool) -> Evidence:
    """Return what a file shows.

    Args:
        stored: tensors of the set of weights that was chosen, among them those beside the backbone.
        content: all that the file holds.
        frozen: see `frozen_affine`.

    Raises:
        UserError: a mean or std that cannot be one.
    """
    meta = content.get("meta") if isinstance(content, dict) else None
    facts = facts_in(meta)
    found = _images_in(stored, facts, frozen)
    if facts is None or facts.backbone is None:
        return found
    found = replace(found, backbone=facts.backbone)
    if "ResNet" in str(facts.backbone.get("type", "")):
        style = str(facts.backbone.get("style", "pytorch"))
        origin = f"style='{style}' in the configuration inside the file"
        found = replace(found, early_stride=style == "caffe", stride_origin=origin)
    return found


def _images_in(stored: Mapping[str, Tensor], facts: OpenMMLabFacts | None, frozen: bool) -> Evidence:
    """Return what a configuration or the tensors show of images, and what tensors show of strides."""
    if facts is not None and facts.conflict:
        return Evidence(conflict=facts.conflict)
    if facts is not None and facts.mean is not None and facts.std is not None:
        said = "" if facts.to_rgb is None else f", to_rgb={facts.to_rgb}"
        origin = f"mean, std{said} of {facts.place} in the configuration inside the file"
        return Evidence(
            *_scaled(facts.mean, facts.std),
            channels=facts.channels,
            normalisation_origin=origin + (f" ({facts.loaded})" if facts.loaded else ""),
        )
    pixels = _pixel_statistics(stored)
    if pixels is None:
        return Evidence()
    (mean_name, mean), (std_name, std) = pixels
    scaled_mean, scaled_std = _scaled(mean, std)
    # Libraries that keep 0 to 255 and load BGR, as Detectron2 does by default, write a mean of 0 too.
    kept = max(std) > 1 or (max(mean) == 0 and max(std) == 1)
    equal = mean_name.endswith("pixel_mean") and min(mean) == max(mean)
    channels = None if max(mean) <= 1 and (kept or equal) else order_of(mean)
    words = f"{mean_name} and {std_name} in the file"
    if channels is not None and min(mean) != max(mean):
        words += f", whose order is {channels.upper()}"
    early: bool | None = None
    origin = ""
    if mean_name.endswith("pixel_mean"):
        # Detectron2's settings go together: MSRA's weights have a std of 1 and frozen scales, all others a
        # std near 57 and STRIDE_IN_1X1 False. Source: detectron2/config/defaults.py.
        if min(std) > 2:
            early, origin = False, f"{std_name} is not 1, as it is for MSRA's networks"
        elif frozen:
            early, origin = (
                True,
                f"{std_name} is 1 and the batch norms are frozen scales, as MSRA's",
            )
    return Evidence(scaled_mean, scaled_std, channels, early, words, origin)


def frozen_affine(tensors: Mapping[str, Tensor]) -> bool:
    """Return whether every batch norm has mean 0 and variance 1 while its scales are trained.

    So are converted MSRA/Caffe networks; a network that was never trained has scales that are all equal.
    """
    means = [tensor for name, tensor in tensors.items() if name.endswith("running_mean")]
    variances = [tensor for name, tensor in tensors.items() if name.endswith("running_var")]
    if not means or not variances:
        return False
    if any(bool(mean.abs().max() > 0) for mean in means):
        return False
    if any(bool((variance - 1).abs().max() > ONE) for variance in variances):
        return False
    scales = [
        tensors.get(name.removesuffix("running_mean") + "weight")
        for name in tensors
        if name.endswith("running_mean")
    ]
    return any(scale is not None and bool((scale != scale.flatten()[0]).any()) for scale in scales)


def order_of(mean: Triple) -> Channels | None:
    """Return the colour order that a mean near ImageNet's implies, None where it implies none."""
    scale = 1.0 if max(mean) > 1 else BYTE
    values = [value * scale for value in mean]
    for order, expected in (("rgb", IMAGENET_MEAN), ("bgr", IMAGENET_MEAN[::-1])):
        if all(abs(value - BYTE * one) < NEAR for value, one in zip(values, expected, strict=True)):
            return "rgb" if order == "rgb" else "bgr"
    return "rgb" if max(mean) <= 1 else None  # networks that scale to [0, 1] load images as RGB


def _pixel_statistics(stored: Mapping[str, Tensor]) -> tuple[tuple[str, Triple], tuple[str, Triple]] | None:
    """Return (name, values) of the mean and the std that a model keeps of its images, None for none.

    Detectron2 calls them `pixel_mean` and `pixel_std`, layers that normalise `mean` and `std`.
    """
    for name, tensor in stored.items():
        start, _, last = name.rpartition("mean")
        if last or not name.endswith(("pixel_mean", ".mean")) or tensor.numel() != 3:
            continue
        std = stored.get(f"{start}std")
        plain = all(one is not None and _is_plain(one) for one in (tensor, std))
        if std is not None and std.numel() == 3 and plain:
            return (name, _triple(tensor)), (f"{start}std", _triple(std))
    return None


def _is_plain(tensor: Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_complex()


def _triple(tensor: Tensor) -> Triple:
    first, second, third = tensor.detach().to(torch.float64).flatten().tolist()
    return first, second, third


def _scaled(mean: Triple, std: Triple) -> tuple[Triple, Triple]:
    """Return both of an image in [0, 1].

    Raises:
        UserError: no numbers, or a std of 0.
    """
    if not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
        raise UserError(
            f"the file says mean {mean} and std {std} of its images, which cannot be; state them by --mean "
            "and --std"
        )
    scale = BYTE if max(*mean, *std) > 1 else 1.0
    if max(mean) == 0 and max(std) == 1:
        scale = BYTE  # only the libraries that keep 0 to 255 write a mean of 0 and a std of 1
    return _times(mean, 1 / scale), _times(std, 1 / scale)


def _times(values: Triple, factor: float) -> Triple:
    return values[0] * factor, values[1] * factor, values[2] * factor
