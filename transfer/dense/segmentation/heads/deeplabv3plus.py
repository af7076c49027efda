"""DeepLabV3+ (Chen et al. 2018): spatial pyramid pooling on the last map, refined by a fine one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmbench.errors import UserError
from mmbench.transfer.dense.segmentation.head_settings import DeepLabV3PlusSettings
from mmbench.transfer.dense.segmentation.heads.registry import HEADS, Head


class DeepLabV3Plus(Head[DeepLabV3PlusSettings]):
    """mmsegmentation's DepthwiseSeparableASPPHead, on ResNets whose later stages are dilated."""

    name = "deeplabv3plus"
    title = "DeepLabV3+"
    file = "deeplabv3plus_r50-d8.py"

    def on_resnet(self, settings: DeepLabV3PlusSettings, channels: Sequence[int]) -> dict[str, Any]:
        """Return the head on layer4 and layer1."""
        return {
            "in_channels": channels[-1],
            "in_index": 3,
            "dilations": settings.aspp_dilations,
            "c1_in_channels": channels[0],
            "c1_channels": settings.low_level_channels,
        }

    def on_maps(self, settings: DeepLabV3PlusSettings, channels: Sequence[int]) -> dict[str, Any]:
        """Refuse networks that are not dilated: the dilations are those of a map of stride 8 or 16.

        Raises:
            UserError: always.
        """
        raise UserError(
            "head deeplabv3plus takes plain ResNets of 18, 34, 50 or 101 layers; use the "
            "setting head=upernet or head=fcn"
        )


HEADS.register("deeplabv3plus")(DeepLabV3Plus())
