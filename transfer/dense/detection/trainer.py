"""Detectron2's DefaultTrainer with COCO evaluation, progress, and no more files than needed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader
from detectron2.engine import DefaultTrainer, HookBase, hooks
from detectron2.evaluation import COCOEvaluator
from detectron2.solver.build import get_default_optimizer_params
from detectron2.utils.events import CommonMetricPrinter, EventWriter, JSONWriter, get_event_storage
from torch import nn

from mmbench.transfer.dense.detection.detectors.registry import detector_of

LOSS_EVERY = 10  # iterations between looks at the loss for the progress line
TEST_BATCH = 8
DETECTIONS, OBJECTS = "detections", "objects"


class ReportProgress(HookBase):
    """Reports the progress of the training after every iteration."""

    def __init__(self, report: Callable[[int, int, str], None]) -> None:
        self.report = report
        self.message = "no loss yet"

    def after_step(self) -> None:
        """Report the iteration just finished."""
        done, total = self.trainer.iter + 1, self.trainer.max_iter
        if done % LOSS_EVERY == 0 or done == total:
            loss = get_event_storage().history("total_loss").median(LOSS_EVERY)
            self.message = f"loss {loss:.2f}"
        self.report(done, total, self.message)


class QuietCOCOEvaluator(COCOEvaluator):
    """Detectron2's COCOEvaluator with the official COCO code, whose output goes to a file."""

    def __init__(self, dataset_name: str, tasks: tuple[str, ...], output: Path) -> None:
        # Detectron2's faster variant is compiled code; the official one gives the reference values.
        super().__init__(dataset_name, tasks=tasks, output_dir=str(output), use_fast_impl=False)
        self._output = output / "coco.txt"

    def evaluate(self, img_ids: list[int] | None = None) -> dict[str, dict[str, float]]:
        """Return AP, AP50, ... in percent by task ("bbox", "segm"), with two counts that explain a NaN.

        DETECTIONS is the number of objects found, OBJECTS that of the annotated ones that count.
        """
        with self._output.open("w", encoding="utf-8") as stream, contextlib.redirect_stdout(stream):
            results: dict[str, dict[str, float]] = super().evaluate(img_ids)
        found = sum(len(prediction["instances"]) for prediction in self._predictions)
        annotated = sum(not item.get("iscrowd") for item in self._coco_api.anns.values())
        for result in results.values():
            result |= {DETECTIONS: found, OBJECTS: annotated}
        return results


class DetectionTrainer(DefaultTrainer):
    """Detectron2's trainer without checkpoints; the caller starts the evaluation."""

    def build_hooks(self) -> list[HookBase]:
        """Return Detectron2's hooks without checkpointing and without evaluation, with progress."""
        unwanted = (hooks.PeriodicCheckpointer, hooks.EvalHook)
        return [hook for hook in super().build_hooks() if not isinstance(hook, unwanted)]

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """Return SGD or AdamW over Detectron2's parameter groups; no weight decay on norms, as there."""
        solver, from_backbone = cfg.SOLVER, detector_of(cfg).from_backbone
        groups = get_default_optimizer_params(
            model,
            base_lr=solver.BASE_LR,
            weight_decay=solver.WEIGHT_DECAY,
            weight_decay_norm=solver.WEIGHT_DECAY_NORM,
            lr_factor_func=lambda name: solver.BACKBONE_LR_FACTOR if from_backbone(name) else 1.0,
        )
        if solver.OPTIMIZER == "adamw":
            return torch.optim.AdamW(groups, lr=solver.BASE_LR)
        return torch.optim.SGD(groups, lr=solver.BASE_LR, momentum=solver.MOMENTUM)

    def build_writers(self) -> list[EventWriter]:
        """Return writers for the log file and for metrics.json; TensorBoard's costs seconds to import."""
        return [
            CommonMetricPrinter(self.max_iter),
            JSONWriter(str(Path(self.cfg.OUTPUT_DIR) / "metrics.json")),
        ]

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> QuietCOCOEvaluator:
        """Return the COCO evaluator for boxes, and masks if the detector makes them."""
        tasks = ("bbox", "segm") if cfg.MODEL.MASK_ON else ("bbox",)
        output = Path(cfg.OUTPUT_DIR) / "evaluation"
        output.mkdir(parents=True, exist_ok=True)
        return QuietCOCOEvaluator(dataset_name, tasks, output)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Any:
        """Return Detectron2's test loader; small images are evaluated in batches."""
        batch = TEST_BATCH if cfg.INPUT.MIN_SIZE_TEST <= 256 else 1
        return build_detection_test_loader(cfg, dataset_name, batch_size=batch)
