"""How a timm architecture enters a dense library: as the library's own ResNet, or as timm's feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import timm
import torch
from torch import Tensor, nn

from mmbench.checkpoints.images.timm_config import fixed_size
from mmbench.checkpoints.networks.options import NO_OPTIONS, Options, departing
from mmbench.checkpoints.networks.plain import plain
from mmbench.errors import UserError
from mmbench.faults import fault_of

# 152 layers enter as timm's feature maps: the libraries' own ResNet would change the protocols' numbers.
DEPTHS = (18, 34, 50, 101)
PROBED = (128, 192)  # height and width in px of the image that shows whether maps are what timm states
MARGIN = 4  # px by which a fine map may differ from the image


def plain_resnet_depth(arch: str, options: Options = NO_OPTIONS) -> int | None:
    """Return the depth of a plain ResNet that the libraries build themselves, None for other networks."""
    network = plain(arch)
    if network is None or network.wide or network.early_stride or network.depth not in DEPTHS:
        return None
    return None if departing(arch, options) else network.depth


@dataclass(frozen=True)
class FeatureMap:
    """One map of timm's `features_only` model.

    Attributes:
        index: for `out_indices`.
        stride: in pixels of the image.
        channels: width of the map.
    """

    index: int
    stride: int
    channels: int


def feature_maps(arch: str, task: str, options: Options = NO_OPTIONS) -> list[FeatureMap]:
    """Return the deepest map of each stride, finest first.

    Raises:
        UserError: timm offers no feature maps of this architecture, or the network does not give what timm
            states; for detection also where it takes images of one size alone.
    """
    try:
        # Not on the meta device: detection's heads are initialised from the random state that this leaves.
        network = timm.create_model(arch, features_only=True, **options)
        info = network.feature_info
        found = [
            FeatureMap(index, level["reduction"], level["num_chs"])
            for index, level in zip(info.out_indices, info.get_dicts(), strict=True)
        ]
    except (RuntimeError, NotImplementedError, AttributeError, AssertionError) as error:
        raise UserError(f"timm offers no feature maps of '{arch}' for {task}: {error}") from None
    side = fixed_size(arch)
    if side is not None and task == "detection":
        raise UserError(
            f"'{arch}' takes images of {side} x {side} px alone, and detection feeds images of any size; use "
            "another network"
        )
    _require_stated(arch, network, found, PROBED if side is None else (side, side))
    deepest = {level.stride: level for level in found}
    return [deepest[stride] for stride in sorted(deepest)]


def channels_first(network: object, maps: Sequence[Tensor]) -> list[Tensor]:
    """Return the maps of a `features_only` model as (N, C, H, W); some networks of timm give (N, H, W, C)."""
    if str(getattr(network, "output_fmt", "NCHW")).endswith("NHWC"):
        return [features.permute(0, 3, 1, 2).contiguous() for features in maps]
    return list(maps)


@torch.no_grad()
def _require_stated(
    arch: str, network: nn.Module, levels: Sequence[FeatureMap], size: tuple[int, int]
) -> None:
    """Check that the maps of a black image have the channels and strides that timm states.

    Args:
        size: height and width of the image in pixels.

    Raises:
        UserError: they have others, or the network takes no such image.
    """
    height, width = size
    network.eval()
    try:
        maps = channels_first(network, network(torch.zeros(1, 3, height, width)))
    except (RuntimeError, AssertionError, TypeError, ValueError, AttributeError) as error:
        if fault_of(error) is not None:  # full memory says nothing about the size
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"'{arch}' gives no feature maps of an image of {width} x {height} px ({reason}); use another "
            "network"
        ) from None
    for level, features in zip(levels, maps, strict=True):
        shape = tuple(features.shape)
        sides = zip((height, width), shape[2:], strict=False)
        # A padded stem makes maps of stride 1 larger by a few pixels, and coarser ones by one position.
        fits = all(abs(fed - level.stride * side) <= max(level.stride, MARGIN) for fed, side in sides)
        if len(shape) != 4 or shape[1] != level.channels or not fits:
            raise UserError(
                f"a feature map of '{arch}' of an image of {width} x {height} px has shape {shape}, where "
                f"timm states stride {level.stride} and {level.channels} channels; use another network"
            )
