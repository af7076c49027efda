"""The common frame of every transfer task: how a run is planned, carried out and recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.distributed import on_main
from mmbench.environment import provenance
from mmbench.errors import UserError
from mmbench.files import sha256_of
from mmbench.results import DatasetReference, Result, ResultStore, read_result
from mmbench.tasks import TASKS, TaskEntry, TaskSettings
from mmbench.transfer.compute import Compute, Precision
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.inputs.images import framing_of
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import per_class_accuracy
from mmbench.transfer.plots.confusion import draw_confusion
from mmbench.transfer.protocol import Protocol, get_protocol, parse_settings
from mmbench.transfer.resume import Unfinished


@dataclass(frozen=True)
class TaskPlan:
    """A run as it is identified before anything is computed.

    Attributes:
        config: every resolved setting that changes numbers, as it is recorded.
        reference: which data; the split sizes are known only after the run.
        metric: the primary one: the protocol's, or that which the field reports on this data set.
        path: where its record is or will be.
    """

    entry: TaskEntry
    protocol: Protocol
    settings: TaskSettings
    config: dict[str, Any]
    reference: DatasetReference
    metric: str
    path: Path


def protocol_of(entry: TaskEntry, protocol_id: str | None) -> Protocol:
    """Return the named protocol of a task, its default one for None.

    Raises:
        UserError: there is none of that id (near match named), or it is another task's.
    """
    protocol = get_protocol(protocol_id or entry.default_protocol)
    if protocol.task != entry.name:
        raise UserError(f"protocol {protocol.id} is for task '{protocol.task}', not for '{entry.name}'")
    return protocol


def plan_task(
    name: str,
    backbone: Backbone,
    dataset: Dataset,
    store: ResultStore,
    *,
    protocol_id: str | None = None,
    seed: int = 0,
    overrides: dict[str, Any] | None = None,
    compute: Compute | None = None,
    bank: FeatureBank | None = None,
    labels_file: Path | None = None,
) -> TaskPlan:
    """Resolve names and settings, and say where the record of this run belongs.

    Raises:
        UserError: unknown task, protocol or setting; weights or data that the task cannot use.
    """
    entry = TASKS.get(name)
    protocol = protocol_of(entry, protocol_id)
    settings = parse_settings(entry.settings, protocol, overrides or {})
    if backbone.card.source_format == "pixels" and not entry.frozen:
        raise UserError(
            f"task '{name}' trains a backbone, and raw pixels have none; use linear, knn, logreg or lowshot"
        )
    config = settings.model_dump(mode="json")
    if compute is not None:
        config |= compute.recorded()
    if bank is not None and bank.stored != "float32" and entry.frozen:
        config["feature_dtype"] = bank.stored
    if labels_file is not None:
        if "labels_file" not in entry.uses:
            raise UserError(f"task '{name}' takes no list of labelled images; leave --labels-file away")
        if not labels_file.is_file():
            raise UserError(f"no list of labelled images at {labels_file}; check --labels-file")
        config |= {"labels_file": labels_file.name, "labels_file_sha256": sha256_of(labels_file)}
    if not entry.dense:
        _check_labels(dataset, protocol)
    fingerprint = dataset.require_scenes().fingerprint if entry.dense else dataset.fingerprint
    reference = DatasetReference(
        name=dataset.name, fingerprint=fingerprint, split_sizes={}, evaluated_split=protocol.split
    )
    metric = dataset.metric if not entry.dense and protocol.metric == "top1" else protocol.metric
    path = store.path_of(backbone.card, protocol.id, reference, config, seed)
    return TaskPlan(entry, protocol, settings, config, reference, metric, path)


def _check_labels(dataset: Dataset, protocol: Protocol) -> None:
    """Check that the data set can be classified, with this protocol.

    Raises:
        UserError: fewer than two classes; several labels per picture where one is wanted, or the reverse.
    """
    if len(dataset.classes) < 2:
        raise UserError(
            f"data set '{dataset.name}' has one class ({dataset.classes[0]}), and classification needs two; "
            "give it a folder per class"
        )
    if dataset.multilabel and protocol.metric != "mAP":
        raise UserError(
            f"pictures of '{dataset.name}' have several labels, which {protocol.id} cannot use; "
            "use --task linear --protocol linear/voc07-svm@2"
        )
    if not dataset.multilabel and protocol.metric == "mAP":
        raise UserError(
            f"pictures of '{dataset.name}' have one label each, and {protocol.id} is for several; "
            "use --task linear --protocol linear/sweep@2"
        )


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
    precision: Precision = "float32",
    workers: int | None = None,
    labels_file: Path | None = None,
    remarks: tuple[str, ...] = (),
) -> Result:
    """Measure one task and write its record; if that very record is there already, return it instead.

    Beside the record of a classification lies its confusion matrix, as a picture. A long training that is
    interrupted leaves its state in a hidden folder of the store, and the same call goes on from there.
    Processes that work together all get the record; the first one writes it.

    Raises:
        UserError: unknown task, protocol or setting; weights or data that the task cannot use.
    """
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bank = bank or FeatureBank()
    compute = Compute(device, precision, workers)
    plan = plan_task(
        name,
        backbone,
        dataset,
        store,
        protocol_id=protocol_id,
        seed=seed,
        overrides=overrides,
        compute=compute,
        bank=bank,
        labels_file=labels_file,
    )
    place = plan.path.relative_to(store.root).with_suffix("")
    unfinished = Unfinished(store.root / ".unfinished" / place, device)
    if on_main(plan.path.exists):
        unfinished.forget()  # killed after the record was written
        return read_result(plan.path)
    silent = report or (lambda done, total, words: None)
    job = TransferJob(
        *(backbone, dataset, plan.protocol, seed, device, work, silent, bank),
        precision=precision,
        workers=workers,
        labels_file=labels_file,
        remarks=remarks,
        unfinished=unfinished,
    )
    work.mkdir(parents=True, exist_ok=True)
    computed = bank.computed
    with unfinished.held():
        started = time.perf_counter()
        try:
            measured = plan.entry.measure(job, plan.settings)
            unfinished.before_record()
            seconds = unfinished.seconds_before + time.perf_counter() - started
            reused = bank.root is not None and measured.from_bank and bank.computed == computed
            result = _record(job, plan, measured, seconds, reused, receipt_id)
        except ValidationError as error:
            raise _not_recorded(error, plan) from None
        result = on_main(lambda: _write(result, measured, dataset, store))
    unfinished.forget()
    return result


def _not_recorded(error: ValidationError, plan: TaskPlan) -> UserError:
    """Return the error of a measurement that no record can hold, such as one that is not finite."""
    first = error.errors(include_url=False)[0]
    what = f"{'.'.join(map(str, first['loc'])) or 'value'}: {first['msg']}"
    rates = [name for name in type(plan.settings).model_fields if "learning_rate" in name]
    advice = f"lower {' and '.join(rates)} by --set" if rates else "check the weights and the data"
    return UserError(f"{plan.protocol.id} gave a result that is not recorded ({what}); {advice}")


def _record(
    job: TransferJob, plan: TaskPlan, measured: Measurement, seconds: float, reused: bool, receipt: str | None
) -> Result:
    """Add to a measurement what the frame knows.

    Args:
        reused: whether all features came from the bank, so that the seconds tell nothing about the backbone.
    """
    kept = (*job.bank.take_notes(), *job.unfinished.notes)
    notes, seen = (*measured.notes, *kept, *plan.settings.remarks()), measured.images_seen
    if reused:
        notes, seen = (*notes, "features came from the feature bank; seconds are without their pass"), None
    notes = (*notes, *job.remarks)
    size, meant = job.backbone.card.preprocessing.image_size, plan.protocol.image_size
    if meant is not None and size != meant:
        notes = (*notes, f"{plan.protocol.id} is written for {meant} px; these weights are fed {size} px")
    framing = None
    if not plan.entry.dense:
        framing = framing_of(job.dataset, job.evaluated, size, job.framing_rule)
        notes += framing.remarks()
    per_class = measured.per_class
    if per_class is None and measured.confusion is not None:
        shares = zip(job.dataset.classes, per_class_accuracy(measured.confusion), strict=True)
        per_class = {name: share for name, share in shares if share is not None}
    return Result(
        model=job.backbone.card,
        task=plan.protocol.task,
        dataset=plan.reference.model_copy(update={"split_sizes": measured.split_sizes}),
        protocol=plan.protocol.id,
        metrics=measured.metrics,
        primary_metric=plan.metric,
        seed=job.seed,
        config=plan.config,
        effective_lr=measured.effective_lr,
        provenance=provenance(str(job.device)),
        wall_seconds=seconds,
        images_per_second=None if seen is None else seen / seconds,
        receipt_id=receipt,
        per_class=None if per_class is None else dict(per_class),
        labels=measured.labels,
        framing=None if framing is None else str(framing),
        notes=notes,
    )


def _write(result: Result, measured: Measurement, dataset: Dataset, store: ResultStore) -> Result:
    """Write the picture of the confusion matrix, then the record, and return it."""
    path = store.path_of(result.model, result.protocol, result.dataset, result.config, result.seed)
    if measured.confusion is not None:
        title = f"{result.model.arm} on {dataset.name}, {result.protocol}, seed {result.seed}"
        draw_confusion(measured.confusion, dataset.classes, title, path.with_suffix(".confusion.png"))
    store.write(result)
    return result
