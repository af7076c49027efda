"""The common frame of every transfer task: what it is given, what it must measure, what is recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.data.dataset import Split
from mmbench.environment import provenance
from mmbench.errors import UserError
from mmbench.registry import Registry
from mmbench.results import DatasetReference, Metric, Result, ResultStore, read_result
from mmbench.transfer.accuracy import per_class_accuracy
from mmbench.transfer.bank import FeatureBank
from mmbench.transfer.confusion_plot import draw_confusion
from mmbench.transfer.protocol import Protocol, TaskSettings, get_protocol, parse_settings

__all__ = ["TASKS", "Measurement", "TaskSettings", "TransferJob", "plan_task", "run_task", "task"]


@dataclass(frozen=True)
class TransferJob:
    """Everything a task is given.

    Attributes:
        backbone: the weights; every task builds its own model from them and never changes them.
        seed: seeds everything random in the task, and which label subset is drawn.
        device: torch device.
        work: an empty folder of the task's own, for logs and intermediate files.
        report: called with (done, total, words) to show progress; cheap to call often.
        bank: keeps frozen features between tasks.
    """

    backbone: Backbone
    dataset: Dataset
    protocol: Protocol
    seed: int
    device: torch.device
    work: Path
    report: Callable[[int, int, str], None] = lambda done, total, words: None
    bank: FeatureBank = field(default_factory=FeatureBank)

    def features(self, split: Split) -> Tensor:
        """Return the frozen features (N, C) of a split, in float32 or as the bank stores them."""
        return self.bank.features(self.backbone, self.dataset.split(split), self.device)


@dataclass(frozen=True)
class Measurement:
    """What a task hands back; the frame adds provenance and writes the record.

    Attributes:
        metrics: must hold the protocol's primary metric.
        split_sizes: images used per split (for semisup, the labelled images really used as "train").
        effective_lr: learning rate after every scaling rule; None where nothing is learned.
        images_seen: images through the backbone, training and evaluation, for the throughput.
        notes: facts a reader of the record must know.
        confusion: int64 (classes, classes), rows true, columns predicted; None where nothing is classified.
        from_bank: whether the backbone ran for nothing but features of the bank.
    """

    metrics: dict[str, Metric]
    split_sizes: dict[str, int]
    effective_lr: float | None = None
    images_seen: int | None = None
    notes: tuple[str, ...] = ()
    confusion: Tensor | None = None
    from_bank: bool = False


TaskFunction = Callable[[TransferJob, Any], Measurement]


@dataclass(frozen=True)
class TaskEntry:
    """A task as the registry knows it.

    Attributes:
        settings: the typed settings that its protocols fill.
        default_protocol: used where the user names none.
        measure: does the work.
        dense: uses the data set's scenes instead of its labelled images.
        accepts_pixels: can measure raw pixels as if they were features.
    """

    name: str
    settings: type[TaskSettings]
    default_protocol: str
    measure: TaskFunction
    dense: bool = False
    accepts_pixels: bool = False


TASKS: Registry[TaskEntry] = Registry("task", package="mmbench.transfer")


def task(
    name: str,
    settings: type[TaskSettings],
    default_protocol: str,
    *,
    dense: bool = False,
    accepts_pixels: bool = False,
) -> Callable[[TaskFunction], TaskFunction]:
    """Register the decorated function `(job, settings) -> Measurement` as a transfer task."""

    def decorate(measure: TaskFunction) -> TaskFunction:
        entry = TaskEntry(name, settings, default_protocol, measure, dense, accepts_pixels)
        TASKS.register(name)(entry)
        return measure

    return decorate


@dataclass(frozen=True)
class TaskPlan:
    """A run as it is identified before anything is computed.

    Attributes:
        reference: which data; the split sizes are known only after the run.
        path: where its record is or will be.
    """

    entry: TaskEntry
    protocol: Protocol
    settings: TaskSettings
    reference: DatasetReference
    path: Path


def plan_task(
    name: str,
    backbone: Backbone,
    dataset: Dataset,
    store: ResultStore,
    *,
    protocol_id: str | None = None,
    seed: int = 0,
    overrides: dict[str, Any] | None = None,
) -> TaskPlan:
    """Resolve names and settings, and say where the record of this run belongs.

    Raises:
        UserError: unknown task, protocol or setting; weights or data that the task cannot use.
    """
    entry = TASKS.get(name)
    protocol = get_protocol(protocol_id or entry.default_protocol)
    if protocol.task != name:
        raise UserError(f"protocol {protocol.id} is for task '{protocol.task}', not for '{name}'")
    settings = parse_settings(entry.settings, protocol, overrides or {})
    if backbone.card.source_format == "pixels" and not entry.accepts_pixels:
        raise UserError(
            f"task '{name}' trains a backbone, and raw pixels have none; use linear, knn, logreg or lowshot"
        )
    fingerprint = dataset.require_scenes().fingerprint if entry.dense else dataset.fingerprint
    reference = DatasetReference(
        name=dataset.name, fingerprint=fingerprint, split_sizes={}, evaluated_split=protocol.split
    )
    path = store.path_of(backbone.card, protocol.id, reference, settings.model_dump(mode="json"), seed)
    return TaskPlan(entry, protocol, settings, reference, path)


def run_task(
    name: str,
    backbone: Backbone,
    dataset: Dataset,
    store: ResultStore,
    *,
    work: Path,
    protocol_id: str | None = None,
    seed: int = 0,
    device: torch.device | None = None,
    overrides: dict[str, Any] | None = None,
    receipt_id: str | None = None,
    report: Callable[[int, int, str], None] | None = None,
    bank: FeatureBank | None = None,
) -> Result:
    """Measure one task and write its record; if that very record is there already, return it instead.

    Beside the record of a classification lies its confusion matrix, as a picture.

    Raises:
        UserError: unknown task, protocol or setting; weights or data that the task cannot use.
    """
    plan = plan_task(name, backbone, dataset, store, protocol_id=protocol_id, seed=seed, overrides=overrides)
    if plan.path.exists():
        return read_result(plan.path)

    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bank = bank or FeatureBank()
    before = bank.computed
    silent = report or (lambda done, total, words: None)
    job = TransferJob(backbone, dataset, plan.protocol, seed, device, work, silent, bank)
    work.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    measured = plan.entry.measure(job, plan.settings)
    seconds = time.perf_counter() - started
    seen, notes = measured.images_seen, measured.notes
    if bank.root is not None and measured.from_bank and bank.computed == before:
        seen, notes = None, (*notes, "features came from the feature bank; seconds are without their pass")
    result = Result(
        model=backbone.card,
        task=plan.protocol.task,
        dataset=plan.reference.model_copy(update={"split_sizes": measured.split_sizes}),
        protocol=plan.protocol.id,
        metrics=measured.metrics,
        primary_metric=plan.protocol.metric,
        seed=seed,
        config=plan.settings.model_dump(mode="json"),
        effective_lr=measured.effective_lr,
        provenance=provenance(str(device)),
        wall_seconds=seconds,
        images_per_second=None if seen is None else seen / seconds,
        receipt_id=receipt_id,
        per_class=_per_class(measured, dataset),
        notes=notes,
    )
    path = store.path_of(backbone.card, plan.protocol.id, result.dataset, result.config, seed)
    if measured.confusion is not None:
        title = f"{backbone.card.arm} on {dataset.name}, {plan.protocol.id}, seed {seed}"
        draw_confusion(measured.confusion, dataset.classes, title, path.with_suffix(".confusion.png"))
    store.write(result)
    return result


def _per_class(measured: Measurement, dataset: Dataset) -> dict[str, float] | None:
    if measured.confusion is None:
        return None
    shares = zip(dataset.classes, per_class_accuracy(measured.confusion), strict=True)
    return {name: share for name, share in shares if share is not None}
