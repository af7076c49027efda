"""How a transfer run is carried out and recorded."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from mmbench.distributed import on_main
from mmbench.environment import provenance
from mmbench.errors import UserError
from mmbench.files import atomic_path
from mmbench.records.fields import recordable
from mmbench.records.image_outcomes import write_outcomes
from mmbench.records.store import Result, ResultStore, read_result
from mmbench.transfer.crop_settings import CropSettings
from mmbench.transfer.inputs.features import weights_digest
from mmbench.transfer.inputs.images import crop_remarks, framing_of
from mmbench.transfer.job import Measurement, TransferJob
from mmbench.transfer.metrics import per_class_accuracy
from mmbench.transfer.plots.confusion import draw_confusion
from mmbench.transfer.plots.feature_plots import draw_record_plots
from mmbench.transfer.resume import Unfinished
from mmbench.transfer.run import TransferRun

Report = Callable[[int, int, str], None]


def silent(done: int, total: int, message: str) -> None:
    """Report nothing."""


def execute(run: TransferRun, store: ResultStore, work: Path, report: Report = silent) -> Result:
    """Measure a run and write its record; if that very record is there already, return it instead.

    Beside the record lie the per-image outcomes, and a plot of the confusion matrix of a classification.
    A long training that is interrupted leaves its state in a hidden folder of the store, and the same call
    goes on from there. Processes that work together all get the record; the first one writes it.

    Args:
        work: folder for the task's logs and intermediate files.
        report: called with (done, total, message).

    Raises:
        UserError: the task cannot be done with these weights and data, or its result is not finite.
    """
    path, unfinished = run.path(store), unfinished_of(run, store)
    if on_main(path.exists):
        unfinished.forget()  # interrupted after the record was written
        return read_result(path)
    job = TransferJob(run, work, report, unfinished)
    work.mkdir(parents=True, exist_ok=True)
    computed = run.bank.computed
    with unfinished.held():
        started = time.perf_counter()
        try:
            measured: Measurement = run.task.entry.measure(job, run.task.settings)
            unfinished.before_record()
            seconds = unfinished.seconds_before + time.perf_counter() - started
            reused = run.bank.root is not None and measured.from_bank and run.bank.computed == computed
            result = _record(job, measured, seconds, reused)
            result = result.model_copy(update={"compute": unfinished.meter.read()})
        except ValidationError as error:
            raise _not_recorded(error, run) from None
        result = on_main(lambda: _write(result, measured, run, store))
    unfinished.forget()
    return result


def unfinished_of(run: TransferRun, store: ResultStore) -> Unfinished:
    """Return what an interrupted training of this run left in the store."""
    name = run.path(store).relative_to(store.root).with_suffix("")
    return Unfinished(store.root / ".unfinished" / name, run.compute.device)


def draw_features(run: TransferRun, store: ResultStore) -> None:
    """Draw the run's features (t-SNE) and nearest neighbours beside its record.

    Raises:
        UserError: fewer than four images to show.
    """
    draw_record_plots(TransferJob(run, Path()), run.path(store))


def _not_recorded(error: ValidationError, run: TransferRun) -> UserError:
    """Return the error for a measurement that no record can hold, such as one that is not finite."""
    first = error.errors(include_url=False)[0]
    what = f"{'.'.join(map(str, first['loc'])) or 'value'}: {first['msg']}"
    rates = [name for name in type(run.task.settings).model_fields if "learning_rate" in name]
    advice = f"lower {' and '.join(rates)} by --set" if rates else "check the weights and the data"
    return UserError(f"{run.protocol.id} gave a result that is not recorded ({what}); {advice}")


def _record(job: TransferJob, measured: Measurement, seconds: float, reused: bool) -> Result:
    """Add to a measurement what every record holds.

    Args:
        reused: whether all features came from the bank, so that the seconds say nothing about the backbone.
    """
    run, settings = job.run, job.run.task.settings
    kept = (*run.bank.take_notes(), *job.unfinished.notes)
    notes, seen = (*measured.notes, *kept, *settings.remarks()), measured.images_seen
    if reused:
        notes, seen = (*notes, "features came from the feature bank; seconds are without their pass"), None
    notes = (*notes, *run.remarks)
    size, meant = job.backbone.card.preprocessing.image_size, run.protocol.image_size
    if meant is not None and size != meant:
        notes = (*notes, f"{run.protocol.id} is written for {meant} px; these weights are fed {size} px")
    framing = None
    if not run.task.entry.dense:
        framing = framing_of(job.dataset, job.evaluated, size, job.framing_rule)
        notes += framing.remarks()
    if isinstance(settings, CropSettings) and settings.trains_on_crops:
        notes += crop_remarks(job.dataset, size)
    per_class = measured.per_class
    if per_class is None and measured.confusion is not None:
        shares = zip(job.dataset.classes, per_class_accuracy(measured.confusion), strict=True)
        per_class = {name: share for name, share in shares if share is not None}
    return Result(
        model=job.backbone.card,
        task=run.task.entry.name,
        dataset=run.reference.model_copy(update={"split_sizes": measured.split_sizes}),
        protocol=run.protocol_id,
        metrics=measured.metrics,
        primary_metric=run.metric,
        seed=run.seed,
        config=run.config,
        effective_lr=measured.effective_lr,
        provenance=provenance(str(job.device)),
        wall_seconds=seconds,
        images_per_second=None if seen is None else seen / seconds,
        receipt_id=run.receipt_id,
        per_class=None if per_class is None else _named(per_class),
        labels=measured.labels,
        framing=None if framing is None else str(framing),
        weights_sha256=run.weights_sha256 or weights_digest(run.backbone),
        notes=tuple(dict.fromkeys(recordable(note) for note in notes)),
    )


def _named(per_class: Mapping[str, float]) -> dict[str, float]:
    """Return the values under names that a record can hold; two names never become one."""
    named: dict[str, float] = {}
    for number, (name, value) in enumerate(per_class.items()):
        fit = recordable(name)
        named[fit if fit not in named else f"{fit} (class {number})"] = value
    return named


def _write(result: Result, measured: Measurement, run: TransferRun, store: ResultStore) -> Result:
    """Put outcomes, files and the confusion matrix beside the record, then write it; return it."""
    path = run.path(store)
    for ending, file in measured.files.items():
        with atomic_path(path.with_suffix(f".{ending}")) as temporary:
            shutil.copyfile(file, temporary)  # the work folder may be on another disk, and may be kept
    if measured.confusion is not None:
        title = f"{result.model.arm} on {run.dataset.name}, {result.protocol}, seed {result.seed}"
        target = path.with_suffix(".confusion.png")
        draw_confusion(measured.confusion, run.dataset.classes, title, target)
    if measured.outcomes is not None:
        result = result.model_copy(update={"outcomes": write_outcomes(path, measured.outcomes)})
    store.write(result)
    return result
