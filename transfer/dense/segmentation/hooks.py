"""mmengine's hooks of a run: losses, progress and states."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, distributed

from mmbench.distributed import process_count
from mmbench.transfer.dense.common.continuation import Continuation
from mmbench.transfer.dense.common.divergence import Divergence
from mmbench.transfer.dense.common.history import Progress


def loss_name(name: str) -> str:
    """Return the name in metrics.json of one of mmsegmentation's: "decode.loss_ce" is "loss_decode_ce"."""
    head, _, kind = name.rpartition(".loss_")
    if head:
        return f"loss_{head}_{kind}"
    return "total_loss" if name == "loss" else name


def mean_over_processes(outputs: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the numbers of an iteration as means over the processes, whose shares of a batch are equal."""
    values = torch.stack([value.detach().float().mean() for value in outputs.values()])
    if process_count() > 1:
        distributed.all_reduce(values)
        values /= process_count()
    return dict(zip(outputs, values.tolist(), strict=True))


class ReportProgress(Hook):
    """Keeps the losses, reports every iteration, and ends the training if a loss is not finite."""

    priority = "NORMAL"  # before the learning rate changes

    def __init__(self, progress: Progress, divergence: Divergence) -> None:
        self.progress, self.divergence = progress, divergence

    def before_train(self, runner: Runner) -> None:
        """Start the clock, and the file of losses."""
        self.progress.begin()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Take the numbers of the iteration just finished.

        Raises:
            UserError: the training diverged, in any of the processes.
        """
        done, total = batch_idx + 1, runner.max_iters
        numbers = {loss_name(name): value for name, value in mean_over_processes(outputs).items()}
        if not math.isfinite(numbers["total_loss"]):
            raise self.divergence.error(f"the loss of iteration {done} is infinite or NaN")
        rates = runner.optim_wrapper.get_lr()
        rate = rates.get("base_lr", rates["lr"])[0]
        self.progress.history.add(done, numbers, {"lr": rate}, last=done == total)
        self.progress.step(done, total, numbers["total_loss"])


class SaveState(Hook):
    """Saves periodically and when a stop is asked for, after all hooks of an iteration."""

    priority = "LOWEST"

    def __init__(self, continuation: Continuation) -> None:
        self.continuation = continuation

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Save where it is due.

        Raises:
            KeyboardInterrupt: a stop was asked for; the state is saved.
            UserError: the disk is full.
        """
        self.continuation.after_step(batch_idx + 1)


class ReportEvaluation(Hook):
    """Reports every batch of the evaluation."""

    def __init__(self, report: Callable[[int, int, str], None]) -> None:
        self.report = report

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Report the batch."""
        self.report(batch_idx + 1, len(runner.test_dataloader), "evaluating")
