"""mmengine's Runner without terminal output and checkpoints, on our batches, in one or several processes."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from mmengine.registry import LOOPS
from mmengine.runner import BaseLoop, IterBasedTrainLoop, Runner
from torch import nn

from mmbench.distributed import process_count, with_settled_sums
from mmbench.transfer.dense.common.norms import fit_device, synchronise
from mmbench.transfer.dense.common.processes import unwrapped
from mmbench.transfer.dense.common.reading import TestLoader, TrainingLoader


class SceneBatches:
    """A loader as mmengine's loops and hooks see it: batches as dicts of lists, classes in `dataset`.

    Args:
        loader: gives lists of items.
        classes: names in the order of labels.
    """

    def __init__(self, loader: TrainingLoader | TestLoader, classes: tuple[str, ...]) -> None:
        self.loader = loader
        self.dataset = self  # whose `metainfo` is asked for
        self.metainfo = {"classes": classes}

    def __len__(self) -> int:
        """Return the number of batches of an evaluation; 1 for the endless batches of a training."""
        return len(self.loader) if isinstance(self.loader, TestLoader) else 1

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the batches.

        Raises:
            UserError: an image cannot be read, or the processes cannot share a batch evenly.
        """
        with contextlib.closing(iter(self.loader)) as batches:  # type: ignore[type-var]
            for batch in batches:
                yield pseudo_collate(batch)


@LOOPS.register_module()
class SceneTrainLoop(IterBasedTrainLoop):
    """mmengine's loop over iterations, which can begin at any and ends the workers of its loader."""

    def __init__(self, runner: Runner, dataloader: SceneBatches, max_iters: int) -> None:
        super().__init__(runner, dataloader, max_iters, fast_forward_on_resume=True)

    def begin_at(self, iterations: int) -> None:
        """Go on after this many iterations; the loader knows its position itself."""
        self._iter = iterations

    def run(self) -> nn.Module:
        """Train to the end and return the model."""
        try:
            model: nn.Module = super().run()
        finally:
            if self.dataloader_iterator._iterator is not None:
                self.dataloader_iterator._iterator.close()
        return model


class SceneTestLoop(BaseLoop):
    """Passes each batch and its predictions on.

    Args:
        take: called with a batch and the samples that mmsegmentation's model returns for it.
    """

    def __init__(
        self, runner: Runner, dataloader: SceneBatches, take: Callable[[dict[str, Any], list[Any]], None]
    ) -> None:
        super().__init__(runner, dataloader)
        self.take = take

    @torch.no_grad()
    def run(self) -> None:
        """Predict all batches."""
        runner = self.runner
        runner.call_hook("before_test")
        runner.call_hook("before_test_epoch")
        runner.model.eval()
        for number, batch in enumerate(self.dataloader):
            runner.call_hook("before_test_iter", batch_idx=number, data_batch=batch)
            found = runner.model.test_step({"inputs": batch["inputs"], "data_samples": batch["data_samples"]})
            self.take(batch, found)
            runner.call_hook("after_test_iter", batch_idx=number, data_batch=batch, outputs=found)
        runner.call_hook("after_test_epoch", metrics={})
        runner.call_hook("after_test")


class QuietRunner(Runner):
    """A Runner on a given device, whose messages go to its log file only.

    Args:
        device: of this process.
        before_first_step: called when the weights are initialised and everything is built; it may restore
            a state.
        arguments: the Runner's.
    """

    _has_loaded: bool

    def __init__(
        self, device: torch.device, before_first_step: Callable[[QuietRunner], None], **arguments: Any
    ) -> None:
        self._given_device, self._before_first_step = device, before_first_step
        super().__init__(**arguments)

    @property
    def segmentor(self) -> Any:
        """The network itself."""
        return unwrapped(self.model)

    def build_logger(self, *arguments: Any, **named: Any) -> MMLogger:
        """Return mmengine's logger without its terminal handler."""
        logger = super().build_logger(*arguments, **named)
        logger.handlers = [item for item in logger.handlers if isinstance(item, logging.FileHandler)]
        return logger

    def wrap_model(self, model_wrapper_cfg: dict[str, Any] | None, model: nn.Module) -> nn.Module:
        """Put the model on the given device (mmengine takes a GPU whenever there is one).

        One process turns SyncBN into BN; several share statistics and gradients.

        Raises:
            UserError: batch norms of the architecture cannot be synchronised without GPUs.
        """
        device: torch.device = self._given_device
        preprocessor: Any = model.data_preprocessor
        preprocessor._non_blocking = device.type == "cuda"  # batches are in pinned memory
        if process_count() == 1:
            single: nn.Module = revert_sync_batchnorm(model)
            return single.to(device)
        model = synchronise(model)
        fit_device(model, device, "use one process")
        devices = [device] if device.type == "cuda" else None
        shared: nn.Module = MMDistributedDataParallel(
            model.to(device), device_ids=devices, broadcast_buffers=False
        )
        return with_settled_sums(shared)

    def load_or_resume(self) -> None:
        """Take the place of mmengine's checkpoints."""
        if not self._has_loaded:
            self._has_loaded = True
            self._before_first_step(self)

    def evaluate(self, batches: SceneBatches, take: Callable[[dict[str, Any], list[Any]], None]) -> None:
        """Predict this process's part of the evaluated images; see `SceneTestLoop`."""
        self._test_loop = SceneTestLoop(self, batches, take)
        self.test()

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """Skip mmengine's survey of compilers, which takes a second; the record has the versions."""
