"""Which detections are right, wrong or ignored, as COCO's and VOC's evaluations match them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mmbench.transfer.dense.detection.evaluation.parts import (
    IGNORED,
    RIGHT,
    THRESHOLDS,
    WRONG,
    Array,
    PrecisionParts,
)


def places_of(label: npt.NDArray[np.int64], order: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """Return the place of each detection in the ranking of its class.

    Args:
        label: (D,).
        order: (D,), all detections from the best to the worst.
    """
    places = np.zeros(len(label), dtype=np.int64)
    for kind in np.unique(label):
        own = order[label[order] == kind]
        places[own] = np.arange(len(own))
    return places


def coco_parts(
    truth: Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    kind: str,
    tolerances: Sequence[float] | None = None,
) -> PrecisionParts:
    """Return the parts of COCO's average precision, by pycocotools, whose matches can be read.

    Args:
        truth: content of a COCO file; images and categories are numbered from 1.
        detections: in COCO's result format.
        kind: "bbox", "segm" or "keypoints"; the detections have no parts that it does not need.
        tolerances: of each keypoint, where they are not COCO's.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    objects = np.zeros((len(truth["images"]), len(truth["categories"])), dtype=np.int64)
    with contextlib.redirect_stdout(None):
        annotated = COCO()
        annotated.dataset = copy.deepcopy(dict(truth))
        annotated.createIndex()
        results = annotated.loadRes(copy.deepcopy(list(detections))) if detections else COCO()
        evaluated = COCOeval(annotated, results, kind)
        if tolerances is not None:
            evaluated.params.kpt_oks_sigmas = np.array(tolerances)
        evaluated.params.areaRng, evaluated.params.areaRngLbl = evaluated.params.areaRng[:1], ["all"]
        evaluated.params.maxDets = evaluated.params.maxDets[-1:]
        evaluated.evaluate()
    images: list[int] = []
    labels: list[int] = []
    scores: list[float] = []
    found: list[npt.NDArray[np.int8]] = []
    for part in evaluated.evalImgs:
        if part is None:
            continue
        image, label = part["image_id"] - 1, part["category_id"] - 1
        objects[image, label] = int((np.asarray(part["gtIgnore"]) == 0).sum())
        images += [image] * len(part["dtScores"])
        labels += [label] * len(part["dtScores"])
        scores += part["dtScores"]
        status = np.where(part["dtMatches"] > 0, RIGHT, WRONG).astype(np.int8)
        status[np.asarray(part["dtIgnore"], dtype=bool)] = IGNORED
        found.append(status.T)
    image, label, score = np.array(images, dtype=np.int64), np.array(labels, dtype=np.int64), np.array(scores)
    matched = np.concatenate(found) if found else np.zeros((0, len(THRESHOLDS)), dtype=np.int8)
    # By class, then image, as evaluated; the evaluator ranks by a stable order of these.
    order = np.argsort(-score, kind="stable")
    return PrecisionParts(image, label, score.astype(np.float32), places_of(label, order), matched, objects)


def voc_parts(
    lines: Sequence[Sequence[str]], annotated: Sequence[Sequence[Mapping[str, Any]]], names: Sequence[str]
) -> PrecisionParts:
    """Return the parts of VOC's average precision, matched as Detectron2's `voc_eval` does.

    A detection belongs to the object of its class that it overlaps most; above the threshold it is right the
    first time, wrong when the object was found before, and ignored where the object is difficult.

    Args:
        lines: of each class its detections as Detectron2 writes them: image from 1, score, box.
        annotated: the objects of each image, as Detectron2's `parse_rec` reads them.
        names: of the classes in `annotated`.
    """
    objects = np.array(
        [
            [sum(one["name"] == name and not one["difficult"] for one in image) for name in names]
            for image in annotated
        ]
    )
    parts = []
    for label, name in enumerate(names):
        rows = np.array([line.split() for line in lines[label]], dtype=np.float64).reshape(-1, 6)
        rows = rows[np.argsort(-rows[:, 1])]  # as the evaluator, whose order of equal scores is NumPy's
        images = rows[:, 0].astype(np.int64) - 1
        overlap, nearest, difficult = (
            np.zeros(len(rows)),
            np.zeros(len(rows), dtype=np.int64),
            np.zeros(len(rows), bool),
        )
        there = [[one for one in image if one["name"] == name] for image in annotated]
        boxes = [np.array([one["bbox"] for one in image], dtype=np.float64).reshape(-1, 4) for image in there]
        for row, image in enumerate(images):
            if len(boxes[image]):
                shares = _overlaps(boxes[image], rows[row, 2:])
                nearest[row] = shares.argmax()
                overlap[row] = shares.max()
                difficult[row] = bool(there[image][nearest[row]]["difficult"])
        found = np.full((len(rows), len(THRESHOLDS)), WRONG, dtype=np.int8)
        for column, threshold in enumerate(THRESHOLDS):
            hit = overlap > threshold / 100
            found[hit & difficult, column] = IGNORED
            hits = np.flatnonzero(hit & ~difficult)
            _, first = np.unique(np.stack([images[hits], nearest[hits]]), axis=1, return_index=True)
            found[hits[first], column] = RIGHT
        parts.append((images, np.full(len(rows), label), rows[:, 1], np.arange(len(rows)), found))
    image, kind, score, place, found = (np.concatenate(part) for part in zip(*parts, strict=True))
    return PrecisionParts(image, kind, score.astype(np.float32), place, found, objects)


def _overlaps(boxes: Array, box: Array) -> Array:
    """Return intersection over union of boxes (N, 4) with one, pixels counted inclusively."""
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = np.maximum(high - low + 1, 0).prod(axis=1)
    areas = [(edges[..., 2:] - edges[..., :2] + 1).prod(axis=-1) for edges in (boxes, box)]
    return np.asarray(shared / (areas[0] + areas[1] - shared))
