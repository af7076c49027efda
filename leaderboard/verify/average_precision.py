"""Average precisions computed anew from per-image outcomes; see "Per-image outcomes" in docs/transfer.md."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]

COCO_RECALLS = np.linspace(0, 1, 101)  # where COCO averages precision
VOC_RECALLS = np.arange(0.0, 1.1, 0.1)  # VOC 2007's, as Detectron2 has them
THRESHOLDS = [f"iou{percent}" for percent in range(50, 100, 5)]
DETECTIONS = {"metric", "image", "class", "objects", "score", "place", *THRESHOLDS}
SEVERAL_LABELS = {"image", "class", "score", "truth"}
RIGHT, IGNORED = 1, -1
COCO_BESIDE_VOC = "coco_AP"  # is in the outcomes of VOC's evaluation alone


def of_detections(table: pd.DataFrame) -> dict[str, float]:
    """Return AP, AP50 and AP75, in percent, of boxes and, where there are any, of masks and keypoints.

    COCO averages over the classes that have objects; in VOC's evaluation, as Detectron2 has it, the AP of the
    others is 0.
    """
    families = table["metric"].astype(str)
    voc = bool(families.eq(COCO_BESIDE_VOC).any())
    kinds = table["class"].dtype
    classes = kinds.categories if isinstance(kinds, pd.CategoricalDtype) else None
    found: dict[str, float] = {}
    for name, lines in table.groupby(families):
        family = str(name)
        of_voc = voc and family == "AP"
        averages = _by_class(lines, VOC_RECALLS if of_voc else COCO_RECALLS)
        if of_voc and classes is not None:
            absent = np.zeros((len(classes) - len(averages), len(THRESHOLDS)))
            averages = np.vstack([averages, absent])
        if not len(averages) or (of_voc and classes is None):  # how many classes there are is not known
            continue
        prefix = family.removesuffix("AP")
        found[f"{prefix}AP"] = 100 * float(averages.mean())
        for percent in (50, 75):
            at = averages[:, THRESHOLDS.index(f"iou{percent}")]
            found[f"{prefix}AP{percent}"] = 100 * float(at.mean())
    return found


def _by_class(lines: pd.DataFrame, recalls: Array) -> Array:
    """Return the average precision of each class that has objects (classes, thresholds), in [0, 1]."""
    names = lines["class"].astype(str).to_numpy()
    objects = lines["objects"].fillna(0).to_numpy(np.int64)
    detected = lines["place"].notna().to_numpy()
    places = lines["place"].fillna(-1).to_numpy(np.int64)
    status = lines[THRESHOLDS].fillna(IGNORED).to_numpy(np.int8)
    found = []
    for name in np.unique(names[objects > 0]):
        own = np.flatnonzero(detected & (names == name))
        ranked = status[own[np.argsort(places[own], kind="stable")]]
        total = int(objects[names == name].sum())
        found.append([_average(column, total, recalls) for column in ranked.T])
    return np.array(found).reshape(-1, len(THRESHOLDS))


def _average(status: NDArray[np.int8], objects: int, recalls: Array) -> float:
    """Return the mean of the precision at these values of recall, 0 where one is not reached.

    Precision at a recall is the best one at that recall or a higher one.

    Args:
        status: (detections,), from the best: right, wrong or ignored.
    """
    counted = status[status != IGNORED]
    hits = np.cumsum(counted == RIGHT)
    precision = hits / np.arange(1, len(hits) + 1)
    best = np.append(np.maximum.accumulate(precision[::-1])[::-1], 0.0)
    return float(best[np.searchsorted(hits / objects, recalls, side="left")].mean())


def of_several_labels(table: pd.DataFrame) -> dict[str, float]:
    """Return mAP and mAP_11_points, in percent, over the classes that an image shows.

    Images of equal scores count together: the order in which they are stored does not matter.
    """
    counted = table[table["truth"] >= 0]
    areas, elevens = [], []
    for _, lines in counted.groupby(counted["class"].astype(str)):
        by_score = lines.assign(right=lines["truth"] > 0).groupby("score")["right"].agg(["sum", "size"])
        by_score = by_score.sort_index(ascending=False)
        gained = by_score["sum"].to_numpy(np.float64)
        if not gained.sum():
            continue
        hits = np.cumsum(gained)
        precision = hits / np.cumsum(by_score["size"].to_numpy())
        best = np.maximum.accumulate(precision[::-1])[::-1]
        areas.append(float((gained * best).sum() / hits[-1]))
        reached = [int(np.argmax(10 * hits >= tenth * hits[-1])) for tenth in range(11)]
        elevens.append(float(best[reached].mean()))
    if not areas:
        return {}
    return {"mAP": 100 * float(np.mean(areas)), "mAP_11_points": 100 * float(np.mean(elevens))}
