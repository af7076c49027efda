"""From the evaluation that a protocol names to an evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mmbench.data.annotated.types import AnnotatedSplit
from mmbench.transfer.dense.detection.evaluation.coco import CocoEvaluator
from mmbench.transfer.dense.detection.evaluation.ground_truth import Task, check_evaluable
from mmbench.transfer.dense.detection.evaluation.scores import DetectionEvaluator
from mmbench.transfer.dense.detection.evaluation.voc import VocEvaluator

# coco: 101 points of recall, IoU .50:.05:.95. voc2007: 11 points, the same IoUs, as Detectron2 scores VOC.
Kind = Literal["coco", "voc2007"]


def build_evaluator(
    kind: Kind,
    split: AnnotatedSplit,
    classes: Sequence[str],
    dataset_name: str,
    tasks: Sequence[Task],
    output: Path,
    keypoints: Sequence[str] = (),
    sigmas: Sequence[float] = (),
) -> DetectionEvaluator:
    """Return an evaluator for Detectron2's `inference_on_dataset`.

    Its input dicts must have as "image_id" the number of the image in `split.images`, counted from 1. Its
    results are `{"scores": Scores}`, the same in every process. The first process writes the ground truth
    and the detections (`coco_instances_results.json`) to `output`; the files of the user are not touched.

    Args:
        kind: "coco", or "voc2007" for VOC's AP with COCO's beside it.
        split: the evaluated split.
        classes: names in the order of labels.
        dataset_name: name in Detectron2's catalog; "voc2007" adds dirname, split and year to its metadata.
        tasks: what is scored; "boxes" must be among them.
        output: folder; it is made.
        keypoints: their names, which say whether they are COCO's; () takes 17 for these.
        sigmas: tolerances of the keypoints, where the user states them; see `tolerances`.

    Raises:
        UserError: the split has nothing that can be scored; see `check_evaluable`.
    """
    check_evaluable(split, tasks)
    coco = CocoEvaluator(split, classes, tasks, output, keypoints, sigmas)
    return coco if kind == "coco" else VocEvaluator(coco, split, classes, dataset_name, output / "voc")
