"""Evaluation of detections: COCO's and VOC 2007's average precision. Imports Detectron2."""

from mmbench.transfer.dense.detection.evaluation.build import Kind, build_evaluator
from mmbench.transfer.dense.detection.evaluation.coco import DETECTIONS_FILE
from mmbench.transfer.dense.detection.evaluation.ground_truth import Task, check_evaluable
from mmbench.transfer.dense.detection.evaluation.scores import DetectionEvaluator, Scores

__all__ = [
    "DETECTIONS_FILE",
    "DetectionEvaluator",
    "Kind",
    "Scores",
    "Task",
    "build_evaluator",
    "check_evaluable",
]
