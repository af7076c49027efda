"""What a file shows of the images its network was trained on, and of strides that shapes cannot show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from mmbench.checkpoints.images.pixel_statistics import (
    PixelStatistics,
    Triple,
    numbers_beside,
    order_near_imagenet,
    pixel_statistics,
)
from mmbench.checkpoints.openmmlab.config import OpenMMLabFacts, facts_in
from mmbench.checkpoints.stated import Channels

BYTE = 255.0
EQUAL = 1e-4  # of an image in [0, 1]: rounding of what is written with four digits
# Detectron2 fills a variance with 1, and its FrozenBatchNorm2d with 1 - 1e-5.
ONE = 1e-4


@dataclass(frozen=True)
class Evidence:
    """What a file shows; None for what it does not.

    Attributes:
        mean, std: of an image in [0, 1], in the order of `channels`.
        channels: order of the colours.
        early_stride: whether blocks stride in their first 1 x 1 convolution.
        normalisation_origin, stride_origin: phrases that say where these came from.
        backbone: the settings of the backbone in a configuration inside the file.
        conflict: a phrase, where the file says two things of its images, half of one, or what cannot be; then
            it is not used for them.
        unclear: names of tensors that may be of images or of something else; empty for none.
    """

    mean: Triple | None = None
    std: Triple | None = None
    channels: Channels | None = None
    early_stride: bool | None = None
    normalisation_origin: str = ""
    stride_origin: str = ""
    backbone: Mapping[str, Any] | None = None
    conflict: str = ""
    unclear: str = ""

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
    """
    meta = content.get("meta") if isinstance(content, dict) else None
    facts = facts_in(meta)
    found = _images_in({**numbers_beside(content), **stored}, facts, frozen)
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
        if conflict := _impossible(facts.mean, facts.std):
            return Evidence(conflict=conflict)
        said = "" if facts.to_rgb is None else f", to_rgb={facts.to_rgb}"
        origin = f"mean, std{said} of {facts.place} in the configuration inside the file"
        return Evidence(
            *_scaled(facts.mean, facts.std),
            channels=facts.channels,
            normalisation_origin=origin + (f" ({facts.loaded})" if facts.loaded else ""),
        )
    found = pixel_statistics(stored)
    if found.half or not found.pairs:
        return Evidence(conflict=found.half, unclear=found.unclear)
    if conflict := next(filter(None, (_impossible(one.mean, one.std) for one in found.pairs)), ""):
        return Evidence(conflict=conflict)
    pixels = next((one for one in found.pairs if one.mean_name.endswith("pixel_mean")), found.pairs[0])
    other = next((one for one in found.pairs if not _near(one, pixels)), None)
    if other is not None:
        return Evidence(conflict=f"it normalises images in two ways: {pixels.words}, and {other.words}")
    mean, std, mean_name, std_name = pixels.mean, pixels.std, pixels.mean_name, pixels.std_name
    # Libraries that keep 0 to 255 and load BGR, as Detectron2 does by default, write a mean of 0 too.
    kept = max(std) > 1 or (max(mean) == 0 and max(std) == 1)
    equal = mean_name.endswith("pixel_mean") and min(mean) == max(mean)
    channels = None if max(mean) <= 1 and (kept or equal) else order_of(mean)
    if pixels.order is not None:
        channels = pixels.order if _near_imagenet(mean) in (None, pixels.order) else None
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
    return Evidence(*_scaled(mean, std), channels, early, words, origin)


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
    if (order := _near_imagenet(mean)) is not None:
        return order
    return "rgb" if max(mean) <= 1 else None  # networks that scale to [0, 1] load images as RGB


def _near_imagenet(mean: Triple) -> Channels | None:
    """Return the order in which a mean is near ImageNet's, None where it is not."""
    scale = 1.0 if max(mean) > 1 else BYTE
    first, second, third = (value * scale for value in mean)
    return order_near_imagenet((first, second, third))


def _near(one: PixelStatistics, other: PixelStatistics) -> bool:
    """Return whether two normalise images alike, whatever their unit and rounding."""
    pairs = zip(_scaled(one.mean, one.std), _scaled(other.mean, other.std), strict=True)
    return len({one.order, other.order} - {None}) < 2 and all(
        math.isclose(a, b, rel_tol=0, abs_tol=EQUAL)
        for ours, theirs in pairs
        for a, b in zip(ours, theirs, strict=True)
    )


def _impossible(mean: Triple, std: Triple) -> str:
    """Return a phrase where these cannot be the mean and std of images; empty where they can."""
    if all(map(math.isfinite, (*mean, *std))) and min(std) > 0 and min(mean) >= 0:
        return ""
    return f"the file says mean {mean} and std {std} of its images, which cannot be"


def _scaled(mean: Triple, std: Triple) -> tuple[Triple, Triple]:
    """Return both of an image in [0, 1]."""
    scale = BYTE if max(*mean, *std) > 1 else 1.0
    if max(mean) == 0 and max(std) == 1:
        scale = BYTE  # only the libraries that keep 0 to 255 write a mean of 0 and a std of 1
    return _times(mean, 1 / scale), _times(std, 1 / scale)


def _times(values: Triple, factor: float) -> Triple:
    return values[0] * factor, values[1] * factor, values[2] * factor
