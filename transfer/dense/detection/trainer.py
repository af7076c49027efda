"""Detectron2's DefaultTrainer on an exactly resumable stream of batches, in one or several processes."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.engine import AMPTrainer, DefaultTrainer, HookBase, SimpleTrainer, TrainerBase, hooks
from detectron2.evaluation import inference_on_dataset
from detectron2.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from detectron2.utils import comm
from detectron2.utils.events import CommonMetricPrinter
from torch import Tensor, nn

from mmbench.distributed import any_process, in_parallel
from mmbench.narrow_maps import float32_where_narrow
from mmbench.transfer.compute import PRECISIONS, Precision
from mmbench.transfer.dense.common.continuation import Continuation
from mmbench.transfer.dense.common.history import Progress
from mmbench.transfer.dense.common.processes import Randomness, unwrapped
from mmbench.transfer.dense.common.reading import Counted, TestLoader, TrainingLoader
from mmbench.transfer.dense.detection.continuation import SaveState
from mmbench.transfer.dense.detection.detectors.registry import detector_of
from mmbench.transfer.dense.detection.history import ReportProgress
from mmbench.transfer.dense.detection.precision import autocast_forward, exact_places
from mmbench.transfer.resume import Unfinished


class _Steps(SimpleTrainer):
    """Detectron2's steps. A loss that is not finite ends all processes; Detectron2 ends the first one."""

    def _write_metrics(self, loss_dict: Mapping[str, Tensor], *given: Any, **named: Any) -> None:
        total = torch.stack([loss.detach().float() for loss in loss_dict.values()]).sum()
        if any_process([not bool(torch.isfinite(total))], total.device)[0]:
            raise FloatingPointError(f"the loss of iteration {self.iter + 1} is infinite or NaN")
        super()._write_metrics(loss_dict, *given, **named)


class _AutocastSteps(_Steps, AMPTrainer):
    """Detectron2's steps in reduced precision on a GPU."""


class DetectionTrainer(DefaultTrainer):
    """Detectron2's trainer with our batches; states take the place of its checkpoints.

    The caller starts the evaluation. The training begins with the weights of the configuration: see
    `load_weights` and `restore`.

    Args:
        cfg: the configuration.
        loader: training batches.
        precision: of the forward passes.
    """

    def __init__(self, cfg: CfgNode, loader: TrainingLoader, precision: Precision = "float32") -> None:
        TrainerBase.__init__(self)  # DefaultTrainer's own gives DDP a GPU, and reads data by its own loader
        self.cfg, self.precision = cfg, precision
        self.device = torch.device(cfg.MODEL.DEVICE)
        detector = self.build_model(cfg)
        float32_where_narrow(detector)
        if precision != "float32":
            exact_places(detector)
        optimizer = self.build_optimizer(cfg, detector)
        model = in_parallel(detector, self.device)
        self._trainer: Any
        if precision != "float32" and self.device.type == "cuda":
            self._trainer = _AutocastSteps(model, loader, optimizer, precision=PRECISIONS[precision])
        else:
            self._trainer = _Steps(model, loader, optimizer)
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.start_iter, self.max_iter = 0, cfg.SOLVER.MAX_ITER
        self.register_hooks(self.build_hooks())

    @property
    def detector(self) -> nn.Module:
        """The network itself."""
        return unwrapped(self.model)

    def load_weights(self) -> None:
        """Load the backbone as Detectron2 does, which only logs what it cannot match."""
        DetectionCheckpointer(self.detector).load(self.cfg.MODEL.WEIGHTS)

    def keep_going(self, unfinished: Unfinished, progress: Progress) -> Continuation:
        """Report progress and save states from now on; what is returned restores the newest state."""
        parts = {
            "model": self.detector,
            "optimizer": self.optimizer,
            "schedule": self.scheduler,
            "data": Counted(self.data_loader),
            "losses": progress.history,
            "progress": progress,
            "random": Randomness(self.device, unfinished.notes),
        }
        if isinstance(self._trainer, AMPTrainer):
            parts["scaler"] = self._trainer.grad_scaler
        continuation = Continuation(unfinished, parts)
        self.register_hooks([ReportProgress(progress), SaveState(continuation)])
        return continuation

    def train(self) -> None:
        """Train from `start_iter` to the end, and stop the workers of the loader.

        Raises:
            FloatingPointError: the loss is not finite, in any of the processes.
            KeyboardInterrupt: the run was asked to stop; its state is saved.
        """
        if self.start_iter >= self.max_iter:  # a restored state may be that of the last iteration
            return
        try:
            with autocast_forward(self.model, self.device, self.precision):
                TrainerBase.train(self, self.start_iter, self.max_iter)
        finally:
            iterator, self._trainer._data_loader_iter_obj = self._trainer._data_loader_iter_obj, None
            if iterator is not None:
                iterator.close()

    def average_statistics(
        self, loader: TrainingLoader, batches: int, report: Callable[[int, int, str], None]
    ) -> None:
        """Replace batch norm's running statistics by averages over `batches` (TEST.PRECISE_BN)."""

        def reported(found: Iterable[Any]) -> Iterator[Any]:
            for done, batch in enumerate(found):
                report(done, batches, "averaging batch norm's statistics")
                yield batch

        with contextlib.closing(iter(loader)) as found:  # type: ignore[type-var]
            hooks.PreciseBN(0, self.model, reported(found), batches).update_stats()

    def evaluate(self, loader: TestLoader, evaluator: Any, report: Callable[[int, int, str], None]) -> Any:
        """Return what the evaluator returns, in float32."""
        done = itertools.count(1)

        def after_inference() -> None:
            report(next(done), len(loader), "evaluating")

        callbacks = {"after_inference": after_inference}
        return inference_on_dataset(self.detector, loader, evaluator, callbacks)

    def build_hooks(self) -> list[HookBase]:
        """Return Detectron2's hooks of every iteration, without checkpoints, evaluation and PreciseBN."""
        found: list[HookBase] = [hooks.IterationTimer(), hooks.LRScheduler()]
        if comm.is_main_process():
            found.append(hooks.PeriodicWriter([CommonMetricPrinter(self.max_iter)], period=20))
        return found

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """Return SGD or AdamW over Detectron2's parameter groups; no weight decay on norms, as there."""
        solver, from_backbone = cfg.SOLVER, detector_of(cfg).from_backbone
        groups = get_default_optimizer_params(
            model,
            base_lr=solver.BASE_LR,
            weight_decay=solver.WEIGHT_DECAY,
            weight_decay_norm=solver.WEIGHT_DECAY_NORM,
            bias_lr_factor=solver.BIAS_LR_FACTOR,
            weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
            lr_factor_func=lambda name: solver.BACKBONE_LR_FACTOR if from_backbone(name) else 1.0,
        )
        if solver.OPTIMIZER == "adamw":
            optimizer: torch.optim.Optimizer = torch.optim.AdamW(groups, lr=solver.BASE_LR)
        else:
            optimizer = torch.optim.SGD(
                groups, lr=solver.BASE_LR, momentum=solver.MOMENTUM, nesterov=solver.NESTEROV, foreach=True
            )
        return cast(torch.optim.Optimizer, maybe_add_gradient_clipping(cfg, optimizer))
