"""UPerNet (Xiao et al. 2018): a feature pyramid over all stages, with pyramid pooling on the last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmbench.errors import UserError
from mmbench.transfer.dense.segmentation.head_settings import UPerNetSettings
from mmbench.transfer.dense.segmentation.heads.registry import HEADS, Head


class UPerNet(Head[UPerNetSettings]):
    """mmsegmentation's UPerHead."""

    name = "upernet"
    title = "UPerNet"
    file = "upernet_r50.py"

    def on_resnet(self, settings: UPerNetSettings, channels: Sequence[int]) -> dict[str, Any]:
        """Return the head on all four stages."""
        return self.on_maps(settings, channels)

    def on_maps(self, settings: UPerNetSettings, channels: Sequence[int]) -> dict[str, Any]:
        """Return the head on all maps.

        Raises:
            UserError: there is only one.
        """
        if len(channels) < 2:
            raise UserError(
                "head upernet needs maps of several strides, and this architecture gives one from stride "
                f"{settings.finest_stride} on; set a smaller finest_stride, or head=fcn"
            )
        return {
            "in_channels": list(channels),
            "in_index": list(range(len(channels))),
            "pool_scales": settings.pool_scales,
        }

    def auxiliary_map(self, maps: int) -> int | None:
        """Return the last but one, as in mmsegmentation's configurations of other backbones."""
        return maps - 2


HEADS.register("upernet")(UPerNet())
