"""FCN (Long et al. 2015): convolutions and a classifier on the last map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmbench.transfer.dense.segmentation.head_settings import FCNSettings
from mmbench.transfer.dense.segmentation.heads.registry import HEADS, Head


class FCN(Head[FCNSettings]):
    """mmsegmentation's FCNHead. Several maps of other networks are resized to the finest and concatenated."""

    name = "fcn"
    title = "FCN"
    file = "fcn_r50-d8.py"

    def on_resnet(self, settings: FCNSettings, channels: Sequence[int]) -> dict[str, Any]:
        """Return the head on layer4."""
        return {**_convolutions(settings), "in_channels": channels[-1], "in_index": 3}

    def on_maps(self, settings: FCNSettings, channels: Sequence[int]) -> dict[str, Any]:
        """Return the head on all maps."""
        if len(channels) == 1:
            return {**_convolutions(settings), "in_channels": channels[0], "in_index": 0}
        several = {"input_transform": "resize_concat", "in_index": list(range(len(channels)))}
        return {**_convolutions(settings), "in_channels": list(channels), **several}


HEADS.register("fcn")(FCN())


def _convolutions(settings: FCNSettings) -> dict[str, Any]:
    found: dict[str, Any] = {"num_convs": settings.head_convs, "concat_input": settings.head_concat}
    if settings.head_dilation > 1:
        found["dilation"] = settings.head_dilation
    if settings.bfloat16:
        found |= {"type": "MMBenchFCNHead", "bfloat16": True}
    return found
