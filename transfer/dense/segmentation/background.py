"""Label maps whose background does not count (mmsegmentation: reduce_zero_label)."""

from __future__ import annotations

import dataclasses

from mmbench.data.label_maps.types import IGNORED, LabelMaps
from mmbench.transfer.dense.common.splits import DenseSplits


def without_background(splits: DenseSplits) -> tuple[DenseSplits, str]:
    """Return splits whose background is ignored and no class, and a note on it."""
    data = splits.data
    maps = data.label_maps
    if maps is None or maps.background is None:
        return splits, "reduce_zero_label has nothing to do: no class of the label maps is a background"
    gone, coding = maps.background, maps.coding
    labels = {value: _reduced(label, gone) for value, label in coding.labels.items()}
    palette = maps.palette[:gone] + maps.palette[gone + 1 :]
    reduced = dataclasses.replace(
        data,
        classes=data.classes[:gone] + data.classes[gone + 1 :],
        label_maps=LabelMaps(dataclasses.replace(coding, labels=labels), palette),
    )
    note = f"pixels of '{data.classes[gone]}' count neither in the loss nor in a metric (reduce_zero_label)"
    return dataclasses.replace(splits, data=reduced), note


def _reduced(label: int, gone: int) -> int:
    if label in (gone, IGNORED):
        return IGNORED
    return label - (label > gone)
