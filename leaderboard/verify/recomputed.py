"""The metrics that follow from per-image outcomes, computed anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from mmbench.leaderboard.statistics.images import LABEL_MAP_METRICS, PIXELS, label_map_metric
from mmbench.leaderboard.verify.average_precision import (
    DETECTIONS,
    SEVERAL_LABELS,
    of_detections,
    of_several_labels,
)

LABELS = {"label", "predicted", "correct"}  # of classification
SHARES = {"label", "correct"}  # of several fits
RIGHT, SHOT = "right_", "shot"  # around the number of images per class


def recomputed(table: pd.DataFrame, config: Mapping[str, Any]) -> dict[str, float]:
    """Return the metrics, in percent, that follow from per-image outcomes.

    - of one label per image: top1, mean_per_class and, where the place of the true class is known, top5;
    - of several fits on few labels: means of these, also by the number of labelled images per class;
    - of several labels per image: mAP, mAP_11_points;
    - of detections: AP, AP50 and AP75 of boxes, masks and keypoints, but not by the size of objects;
    - of label maps: mIoU, mAcc and aAcc, from the pixels of all images together.

    The loss, and accuracies by the number of neighbours, do not follow from them.

    Args:
        config: the settings of the record.
    """
    columns = set(table.columns)
    if columns >= LABELS:
        found = _of_shares(table, table["correct"].astype(float), "")
        if "rank" in columns:
            found["top5"] = 100 * float((table["rank"] <= 5).mean())
        return found
    if columns >= SHARES:
        return _of_several_fits(table, config.get("draws"))
    if columns >= SEVERAL_LABELS:
        return of_several_labels(table)
    if columns >= DETECTIONS:
        return of_detections(table)
    if columns >= {"class", *PIXELS}:
        sums = table.groupby(table["class"].astype(str))[PIXELS].sum().to_numpy(float)
        return {name: float(label_map_metric(sums, name)) for name in LABEL_MAP_METRICS}
    return {}


def _of_shares(table: pd.DataFrame, right: pd.Series[float], ending: str) -> dict[str, float]:
    """Return top1 and mean_per_class from the share of fits that are right about each image."""
    return {
        f"top1{ending}": 100 * float(right.mean()),
        f"mean_per_class{ending}": 100 * float(right.groupby(table["label"].astype(str)).mean().mean()),
    }


def _of_several_fits(table: pd.DataFrame, draws: Any) -> dict[str, float]:
    found = _of_shares(table, table["correct"].astype(float), "")
    for name in map(str, table.columns):
        if name.startswith(RIGHT) and name.endswith(SHOT) and isinstance(draws, int) and draws > 0:
            found |= _of_shares(table, table[name] / draws, f"_{name.removeprefix(RIGHT)}")
    return found
