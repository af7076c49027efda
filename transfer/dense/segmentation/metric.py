"""mmsegmentation's IoU metric from exact counts, without its rounding to two digits."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import torch
from mmseg.evaluation.metrics import IoUMetric
from mmseg.registry import METRICS
from torch import Tensor

from mmbench.errors import UserError

Areas = tuple[Tensor, Tensor, Tensor, Tensor]


def shares_of(intersection: Tensor, union: Tensor, labelled: Tensor) -> dict[str, Any]:
    """Return mIoU, mAcc and aAcc in percent, from pixel counts per class, int64 (classes,).

    As in mmsegmentation, mIoU is a mean over the classes in label maps or predictions, mAcc over those
    in the label maps, aAcc over pixels. "absent" holds the indices of the classes that no label map has.

    Raises:
        UserError: no pixel is labelled.
    """
    right, either, true = intersection.tolist(), union.tolist(), labelled.tolist()
    if not sum(true):
        raise UserError(
            "every pixel of the evaluated label maps is ignored (255), so nothing can be measured; fix them"
        )
    return {
        "mIoU": fmean(100 * hits / total for hits, total in zip(right, either, strict=True) if total),
        "mAcc": fmean(100 * hits / total for hits, total in zip(right, true, strict=True) if total),
        "aAcc": 100 * sum(right) / sum(true),
        "absent": tuple(index for index, total in enumerate(true) if not total),
    }


@METRICS.register_module()
class ExactIoUMetric(IoUMetric):
    """mmsegmentation's counts per image, added up as integers (there in float32, exact up to 2^24 pixels)."""

    def compute_metrics(self, results: list[Areas]) -> dict[str, Any]:
        """Return the metrics of all images; see `shares_of`."""
        intersection, union, _, labelled = (
            torch.stack([part.round().to(torch.int64) for part in parts]).sum(dim=0)
            for parts in zip(*results, strict=True)
        )
        return shares_of(intersection, union, labelled)
