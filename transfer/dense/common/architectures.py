"""How a timm architecture enters a dense library: as the library's own ResNet, or as timm's feature maps."""

from __future__ import annotations

from dataclasses import dataclass

import timm

from mmbench.checkpoints.options import NO_OPTIONS, Options, departing
from mmbench.checkpoints.plain import plain
from mmbench.errors import UserError

# 152 layers enter as timm's feature maps: the libraries' own ResNet would change the protocols' numbers.
DEPTHS = (18, 34, 50, 101)


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
        UserError: timm offers no feature maps of this architecture.
    """
    try:
        # Not on the meta device: detection's heads are initialised from the random state that this leaves.
        levels = timm.create_model(arch, features_only=True, **options).feature_info.get_dicts()
    except (RuntimeError, NotImplementedError, AttributeError, AssertionError) as error:
        raise UserError(f"timm offers no feature maps of '{arch}' for {task}: {error}") from None
    deepest = {
        level["reduction"]: FeatureMap(index, level["reduction"], level["num_chs"])
        for index, level in enumerate(levels)
    }
    return [deepest[stride] for stride in sorted(deepest)]
