"""`--dry-run`: what a request would measure, on what and where its records go; nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mmbench.data.annotated.shared import train_and_evaluated
from mmbench.data.types import SPLITS
from mmbench.distributed import on_main
from mmbench.results import ResultStore
from mmbench.setting_values import yaml_line
from mmbench.tasks import preparation_of
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.job import TransferJob
from mmbench.transfer.request import TransferRequest, requested_runs
from mmbench.transfer.run import TransferRun

WORK = Path("dry-run")  # where tasks write what they prepare, unless --work says otherwise


@dataclass(frozen=True)
class Plan:
    """One run as it would be carried out.

    Attributes:
        path: of its record.
        recorded: whether the record is there already, so that it would be reused.
        sizes: what each split holds, such as "400 images, 1000 objects".
        prepared: a line for each thing that the task found out or wrote; empty if it prepares nothing.
    """

    run: TransferRun
    path: Path
    recorded: bool
    sizes: dict[str, str]
    prepared: tuple[str, ...]


def plan(request: TransferRequest, say: Callable[[str], None] = lambda line: None) -> Iterator[Plan]:
    """Yield the runs of a request as they would be carried out, and write what their tasks prepare.

    Files go to a folder per run in the request's work folder, or in "dry-run" where it has none. Weights and
    data are read and checked as they would be for a measurement.

    Args:
        say: called with each line about the data that a person should know.

    Raises:
        UserError: anything that would end the run before its training.
    """
    store = ResultStore(request.out)
    bank = FeatureBank(None, request.bank.stored)  # nothing is put into the folder
    for run in requested_runs(replace(request, bank=bank), say):
        path, prepare = run.path(store), preparation_of(run.task.entry.name)
        recorded = on_main(path.exists)
        lines: tuple[str, ...] = ()
        if prepare is not None:
            work = (request.work or WORK) / path.stem
            work.mkdir(parents=True, exist_ok=True)
            lines = tuple(prepare(TransferJob(run, work), run.task.settings))
        yield Plan(run, path, recorded, split_sizes(run), lines)


def plan_lines(plan: Plan, known: Plan | None) -> list[str]:
    """Return what a terminal shows of a plan.

    Args:
        known: the plan before it of the same task, whose data and settings are the same.
    """
    run, protocol = plan.run, plan.run.protocol
    record = f"{plan.path} ({'there already, would be reused' if plan.recorded else 'would be written'})"
    lines = [f"seed {run.seed}: {record}", *(f"  {line}" for line in plan.prepared)]
    if known is not None:
        return lines
    changed = f" (changed: {', '.join(run.task.overrides)})" if run.task.overrides else ""
    return [
        f"{run.backbone.card.arm} on {run.dataset.name}, {run.protocol_id}: {protocol.title}",
        f"data: {run.dataset.root}, fingerprint {run.reference.fingerprint[:8]}",
        *(f"  {split}: {size}" for split, size in plan.sizes.items()),
        f"metric: {run.metric} on {protocol.split}",
        f"settings{changed}:",
        *(f"  {name}: {yaml_line(value)}" for name, value in run.config.items()),
        *lines,
    ]


def split_sizes(run: TransferRun) -> dict[str, str]:
    """Return what each split of a run's data set holds, such as "400 images".

    Raises:
        UserError: the split that the protocol evaluates is missing or cannot be read.
    """
    dataset, kind, evaluated = run.dataset, run.task.entry.data, run.protocol.evaluated()
    sizes: dict[str, str] = {}
    if kind == "labels":
        for split in SPLITS:
            if split in dataset.splits or split in ("train", evaluated):
                sizes[split] = f"{len(dataset.labels(split)):,} images"
        return sizes
    data = dataset.require_annotated() if kind == "boxes" else dataset.require_label_maps()
    used = train_and_evaluated(data, evaluated)
    for split in SPLITS:
        if split in ("train", evaluated):
            part = used[split == evaluated]
            objects = sum(len(image.instances) for image in part.images)
            what = f"{objects:,} objects" if kind == "boxes" else f"{len(data.classes)} classes"
            sizes[split] = f"{len(part.images):,} images, {what}"
    return sizes
