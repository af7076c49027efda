"""mmengine's Runner without terminal output and checkpoints, with proof of arrival and progress."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch import nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.transfer.dense.common.divergence import Divergence
from mmbench.transfer.dense.segmentation.weights import check_arrival

LOSS_EVERY = 10  # iterations between looks at the loss


class QuietRunner(Runner):
    """A Runner on a given device, whose messages go to its log file only."""

    def __init__(self, device: torch.device, **arguments: Any) -> None:
        self._given_device = device
        super().__init__(**arguments)

    def build_logger(self, *arguments: Any, **named: Any) -> MMLogger:
        """Return mmengine's logger without its terminal handler."""
        logger = super().build_logger(*arguments, **named)
        logger.handlers = [item for item in logger.handlers if isinstance(item, logging.FileHandler)]
        return logger

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Put the model on the given device (mmengine takes a GPU whenever there is one)."""
        wrapped: nn.Module = super().wrap_model(model_wrapper_cfg, model)
        return wrapped.to(self._given_device)

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """Skip mmengine's survey of compilers, which takes a second; the record has the versions."""


class ProveArrival(Hook):
    """Before the first step: every backbone tensor is the checkpoint's, or nothing is trained."""

    priority = "VERY_LOW"

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.arrived = 0

    def before_train(self, runner: Runner) -> None:
        """Compare after mmengine has initialised and loaded everything."""
        self.arrived = check_arrival(self.backbone, runner.model.backbone)


class ReportProgress(Hook):
    """Reports the progress of the run, and stops it if the loss is not finite."""

    def __init__(self, report: Callable[[int, int, str], None], divergence: Divergence) -> None:
        self.report = report
        self.divergence = divergence
        self.message = "no loss yet"

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Report the iteration just finished.

        Raises:
            UserError: the training diverged.
        """
        done, total = batch_idx + 1, runner.max_iters
        if done % LOSS_EVERY == 0 or done == total:
            loss = float(outputs["loss"])
            if not math.isfinite(loss):
                raise self.divergence.error(f"loss {loss} at iteration {done}")
            self.message = f"loss {loss:.2f}"
        self.report(done, total, self.message)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Report the evaluation."""
        batches = len(runner.test_dataloader)
        self.report(runner.max_iters, runner.max_iters, f"evaluating {batch_idx + 1}/{batches}")
