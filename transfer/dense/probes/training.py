"""Training of the linear classifier on crops, or on maps that were taken once."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from mmbench.distributed import any_process, in_parallel, process_rank
from mmbench.transfer.dense.common.continuation import Continuation
from mmbench.transfer.dense.common.divergence import Divergence
from mmbench.transfer.dense.common.history import LossHistory, Progress
from mmbench.transfer.dense.common.norms import fit_device, synchronise
from mmbench.transfer.dense.common.processes import Randomness, seed_process
from mmbench.transfer.dense.common.quiet import seeded
from mmbench.transfer.dense.common.reading import Counted, Item, TrainingLoader, reading_workers
from mmbench.transfer.dense.common.sampling import BatchStream
from mmbench.transfer.dense.probes.crops import TrainingCrops
from mmbench.transfer.dense.probes.head import build_head, pixel_loss, rate_at
from mmbench.transfer.dense.probes.linear_settings import LinearProbeSettings
from mmbench.transfer.dense.probes.maps import kept_maps
from mmbench.transfer.dense.probes.preparation import Prepared
from mmbench.transfer.job import TransferJob

LOSSES_FILE = "metrics.json"


class _Maps:
    """Reads a map that was taken once, with the labels of its image."""

    def __init__(self, maps: Tensor, labels: list[Tensor]) -> None:
        self.maps, self.labels = maps, labels

    def __call__(self, index: int) -> Item:
        """Return "maps" float32 (C, h, w) and "labels"."""
        return {"maps": self.maps[index].float(), "labels": self.labels[index]}


def plan_of(ready: Prepared, settings: LinearProbeSettings) -> list[str]:
    """Return the length of a training in words, and feed the network one crop.

    Raises:
        UserError: the network takes no crops of the protocol's size.
    """
    lines = []
    if settings.augmentation != "none":
        assert settings.crop is not None
        side = ready.network.fitted(settings.crop)
        ready.network.require(side, side)
        if side != settings.crop:
            lines.append(f"training crops have {side} instead of {settings.crop} px: a multiple of the patch")
    images = len(ready.train)
    lines.append(
        f"{settings.steps(images):,} steps of {settings.batch_size} of {images:,} images, "
        f"{settings.optimizer}, learning rate {settings.learning_rate:g}"
    )
    return lines


def _reader(
    job: TransferJob, ready: Prepared, settings: LinearProbeSettings
) -> tuple[Callable[[int], Item], int]:
    """Return what reads a training image, and how many processes do so."""
    if settings.augmentation == "none":
        scenes = ready.fed_as_test()
        maps = kept_maps(job, ready.network, scenes, "train")
        return _Maps(maps, [scenes.labels(index) for index in range(len(ready.train))]), 0
    assert settings.crop is not None
    mean = job.backbone.card.preprocessing.mean
    padding = cast(tuple[int, int, int], tuple(round(255 * value) for value in mean))
    crops = TrainingCrops(ready.train, settings, ready.network.fitted(settings.crop), padding)
    return crops, reading_workers(job, settings.batch_size * settings.steps(len(ready.train)))


def train(job: TransferJob, ready: Prepared, settings: LinearProbeSettings) -> tuple[nn.Module, list[str]]:
    """Train a classifier, from the newest state where there is one; losses go to metrics.json in `job.work`.

    Returns:
        The classifier in evaluation mode, and notes.

    Raises:
        UserError: the loss or a weight is no longer finite, or an image cannot be read.
        KeyboardInterrupt: the run was asked to stop; its state is saved.
    """
    read, workers = _reader(job, ready, settings)
    images = len(ready.train)
    steps, per_epoch = settings.steps(images), max(1, images // settings.batch_size)
    loader = TrainingLoader(
        read,
        BatchStream([False] * images, settings.batch_size, job.seed),
        workers=workers,
        pin_memory=job.device.type == "cuda",
    )
    history = LossHistory(job.work / LOSSES_FILE if process_rank() == 0 else None)
    progress = Progress(job.report, history, lambda: loader.waited)
    notes: list[str] = []
    with seeded(job.seed):
        head = _head(job, ready, settings)
        model, optimiser = in_parallel(head, job.device), _optimiser(head, settings)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: rate_at(step, steps, per_epoch, settings)
        )
        seed_process(job.seed)
        parts = {
            "head": head,
            "optimiser": optimiser,
            "schedule": schedule,
            "batches": Counted(loader),
            "history": history,
            "progress": progress,
            "random": Randomness(job.device, notes),
        }
        continuation = Continuation(job.unfinished, parts)
        done = continuation.restore()
        head.train()
        divergence = Divergence("the dense probe", settings.learning_rate)
        progress.begin()
        with contextlib.closing(iter(loader)) as batches:  # type: ignore[type-var]
            while done < steps:
                rate = schedule.get_last_lr()[0]
                loss = _step(job, ready, model, optimiser, next(batches))
                schedule.step()
                if any_process([not math.isfinite(loss)], job.device)[0]:
                    raise divergence.error(f"the loss of step {done + 1} is not finite")
                done += 1
                history.add(done, {"total_loss": loss}, {"lr": float(rate)}, last=done == steps)
                progress.step(done, steps, loss)
                continuation.after_step(done)
        continuation.finish(done)
        divergence.check_weights(head)
    return head.eval(), [*notes, progress.note()]


def _head(job: TransferJob, ready: Prepared, settings: LinearProbeSettings) -> nn.Module:
    head: nn.Module = synchronise(build_head(ready.network.width, len(ready.classes), settings))
    fit_device(head, job.device, "set batch_norm=false")
    return head.to(job.device)


def _step(
    job: TransferJob, ready: Prepared, model: nn.Module, optimiser: torch.optim.Optimizer, batch: list[Item]
) -> float:
    """Take one step on this process's part of a batch; return its part of the loss, times the processes."""
    labels = [item["labels"].to(job.device, non_blocking=True).long() for item in batch]
    if "maps" in batch[0]:
        maps = torch.stack([item["maps"] for item in batch]).to(job.device, non_blocking=True)
    else:
        maps = ready.network.maps(torch.stack([item["image"] for item in batch]))
    loss = pixel_loss(model(maps), labels)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return loss.item()


def _optimiser(head: nn.Module, settings: LinearProbeSettings) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=decay)
    return torch.optim.SGD(head.parameters(), lr=rate, momentum=settings.momentum, weight_decay=decay)
