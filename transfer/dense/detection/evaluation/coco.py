"""COCO's average precision, by faster-coco-eval: the numbers of pycocotools in a fraction of the time."""

from __future__ import annotations

import contextlib
import copy
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.utils import comm

from mmbench.data.annotated.types import AnnotatedSplit
from mmbench.distributed import on_main
from mmbench.errors import UserError
from mmbench.file_names import stored_name
from mmbench.files import write_text
from mmbench.records.store import Metric
from mmbench.transfer.dense.detection.evaluation.ground_truth import Task, write_coco
from mmbench.transfer.dense.detection.evaluation.matching import coco_parts
from mmbench.transfer.dense.detection.evaluation.parts import COCO_RECALLS
from mmbench.transfer.dense.detection.evaluation.scores import (
    DetectionEvaluator,
    Scores,
    joined_tables,
    percent,
)
from mmbench.transfer.dense.detection.evaluation.tolerances import Tolerances, tolerances_of

KINDS: dict[Task, str] = {"boxes": "bbox", "masks": "segm", "keypoints": "keypoints"}  # COCO's names
PREFIXES: dict[Task, str] = {"boxes": "", "masks": "mask_", "keypoints": "keypoint_"}
BY_SIZE = {"APs": "small", "APm": "medium", "APl": "large"}
DETECTIONS_FILE, GROUND_TRUTH_FILE = "coco_instances_results.json", "ground_truth.json"


class CocoEvaluator(DetectionEvaluator):
    """Scores boxes, masks and keypoints as COCO does.

    Args:
        split: the evaluated split.
        classes: names in the order of labels.
        tasks: what is scored.
        output: folder for the ground truth and the detections.
        keypoints: names of the keypoints; () takes 17 for COCO's.
        sigmas: tolerances of the keypoints, where the user states them.
    """

    def __init__(
        self,
        split: AnnotatedSplit,
        classes: Sequence[str],
        tasks: Sequence[Task],
        output: Path,
        keypoints: Sequence[str] = (),
        sigmas: Sequence[float] = (),
    ) -> None:
        self.keypoints, self.sigmas = tuple(keypoints), tuple(sigmas)
        self.split, self.classes, self.tasks, self.output = split, tuple(classes), tuple(tasks), output
        self.names = [stored_name(image.path) for image in split.images]
        self._found: list[tuple[int, list[dict[str, Any]]]] = []

    def reset(self) -> None:
        """Forget all detections."""
        self._found = []

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> None:
        """Collect the detections of a batch; see `DetectionEvaluator`."""
        for image, output in zip(inputs, outputs, strict=True):
            instances = output["instances"].to("cpu")
            self._found.append((image["image_id"], instances_to_coco_json(instances, image["image_id"])))

    def evaluate(self) -> dict[str, Scores]:
        """Return `{"scores": Scores}` in every process; see `DetectionEvaluator`."""
        everyone = comm.gather(self._found, dst=0)
        return {"scores": on_main(lambda: self.score(list(itertools.chain(*everyone))))}

    def score(self, found: list[tuple[int, list[dict[str, Any]]]]) -> Scores:
        """Return the scores of detections, in one process.

        Args:
            found: per image its number from 1, and its detections in COCO's format with labels as categories.

        Raises:
            UserError: a score or a box is not finite.
        """
        if sorted(number for number, _ in found) != list(range(1, len(self.split.images) + 1)):
            raise ValueError(f"{len(found)} results do not belong to {len(self.split.images)} images")
        # The order of images decides between equal scores; it must not depend on the number of processes.
        in_order = sorted(found, key=lambda pair: pair[0])
        detections = [
            {**item, "category_id": item["category_id"] + 1} for _, items in in_order for item in items
        ]
        for item in detections:
            if not all(map(math.isfinite, (item["score"], *item["bbox"]))):
                raise UserError(
                    "the detector returned a score or a box that is not finite; lower the rate by --set "
                    "learning_rate=..."
                )
        write_text(self.output / DETECTIONS_FILE, json.dumps(detections))
        truth = write_coco(self.split, self.classes, self.tasks, self.output / GROUND_TRUTH_FILE)
        images = len(self.split.images)
        metrics: dict[str, Metric] = {}
        tables = []
        per_class: dict[str, float] = {}
        notes = []
        for task in self.tasks:
            tolerances = Tolerances()
            if task == "keypoints":
                tolerances = tolerances_of(keypoint_count(truth), self.keypoints, self.sigmas)
                notes += [tolerances.note] if tolerances.note else []
            evaluated = coco_eval(truth, detections, task, tolerances.sigmas)
            found_values = {name: 100 * value for name, value in summary(evaluated).items() if value >= 0}
            parts = coco_parts(truth, _needed(detections, task), KINDS[task], tolerances.sigmas)
            values = {PREFIXES[task] + name: value for name, value in found_values.items()}
            statistic = parts.statistic(COCO_RECALLS, absent=math.nan)
            metrics |= parts.with_intervals(percent(values, images), PREFIXES[task], statistic)
            tables.append(parts.table(f"{PREFIXES[task]}AP", self.names, self.classes))
            if task == "boxes":
                per_class = class_precisions(evaluated, self.classes)
        if not detections:
            notes.append("nothing was detected, so every average precision is 0")
        return Scores(metrics, per_class, tuple(notes), joined_tables(tables))


def coco_eval(
    truth: Mapping[str, Any],
    detections: Sequence[Mapping[str, Any]],
    task: Task,
    tolerances: Sequence[float] | None = None,
) -> Any:
    """Return faster-coco-eval's evaluation, accumulated and summarised; its `stats` are COCO's 12 or 10.

    Args:
        truth: content of a COCO file.
        detections: in COCO's result format; neither is changed.
        tolerances: of each keypoint; None takes COCO's.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    silent: Callable[..., None] = lambda *message: None  # noqa: E731
    annotated = COCO(copy.deepcopy(dict(truth)), print_function=silent)
    kept = _needed(detections, task)
    with contextlib.redirect_stdout(None):
        evaluated = COCOeval_faster(
            annotated,
            annotated.loadRes(kept),
            KINDS[task],
            print_function=silent,
            kpt_oks_sigmas=tolerances,
        )
        evaluated.run()
    return evaluated


def _needed(detections: Sequence[Mapping[str, Any]], task: Task) -> list[dict[str, Any]]:
    """Return the detections with what a task is scored by."""
    # With a box, COCO takes the box's area as that of the mask, which moves masks between sizes.
    unwanted = {"segmentation", "keypoints"} if task == "boxes" else {"bbox"} if task == "masks" else set()
    return [{key: value for key, value in item.items() if key not in unwanted} for item in detections]


def keypoint_count(truth: Mapping[str, Any]) -> int:
    """Return how many keypoints an object has."""
    return max(len(item["keypoints"]) for item in truth["annotations"]) // 3


def summary(evaluated: Any) -> dict[str, float]:
    """Return AP, AP50, AP75 and those by size of an evaluation as shares; -1 where no object counts."""
    names = ["AP", "AP50", "AP75", *BY_SIZE]
    if evaluated.params.iouType == "keypoints":
        names.remove("APs")  # COCO annotates no keypoints of small people
    return {name: float(value) for name, value in zip(names, evaluated.stats, strict=False)}


def class_precisions(evaluated: Any, classes: Sequence[str]) -> dict[str, float]:
    """Return the AP of each class that has objects, in percent."""
    # iou, recall, class, size (0: all), detections per image (-1: 100)
    precision = np.asarray(evaluated.eval["precision"])[:, :, :, 0, -1]
    found = {}
    for index, name in enumerate(classes):
        values = precision[:, :, index]
        if (values > -1).any():
            found[name] = 100 * float(values[values > -1].mean())
    return found
