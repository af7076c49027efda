"""`--dry-run`: what a request would measure, on what and where its records go; nothing is trained."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor

from mmbench.data.annotated.shared import train_and_evaluated
from mmbench.data.preparing import NotPreparedError
from mmbench.data.types import SPLITS, Split
from mmbench.settings.values import yaml_line
from mmbench.tasks import preparation_of
from mmbench.transfer.execution import unfinished_of
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.job import TransferJob
from mmbench.transfer.measuring import NextRun, each_run
from mmbench.transfer.request import TransferRequest, require_weights
from mmbench.transfer.resume import Unfinished
from mmbench.transfer.run import TransferRun


@dataclass(frozen=True)
class Plan:
    """One run as it would be carried out.

    Attributes:
        path: of its record.
        recorded: whether the record is there already, so that it would be reused.
        sizes: what each split holds, such as "400 images, 1000 objects".
        prepared: a line for each thing that the task found out or wrote.
    """

    run: TransferRun
    path: Path
    recorded: bool
    sizes: dict[str, str]
    prepared: tuple[str, ...]


class _WouldComputeError(Exception):
    """A task has checked what it is given, and would now compute."""


class _NothingDone(Unfinished):
    """The state of a training that is stopped before its first step."""

    def __init__(self) -> None:
        super().__init__(None, torch.device("cpu"))

    def state(self) -> NoReturn:
        """Stop."""
        raise _WouldComputeError


class _UncomputedJob(TransferJob):
    """A job that is stopped before its first features."""

    def features(self, split: Split) -> Tensor:
        """Open the images, and stop."""
        self.images(split)
        raise _WouldComputeError


def plan(request: TransferRequest, say: Callable[[str], None] = lambda line: None) -> Iterator[Plan]:
    """Yield the runs of a request as they would be carried out, up to where their tasks would compute.

    What tasks prepare is kept where the request has a work folder. Weights and data are read and checked as
    they are for a measurement; within `writing_nothing` data that are not there stay so.

    Args:
        say: called with each line about the data that a person should know.

    Raises:
        UserError: anything that would end the run before its training.
        NotPreparedError: a run would render or unpack the data first; weights from a file are checked.
    """
    bank = FeatureBank(None, request.bank.stored)  # nothing is put into the folder
    try:
        yield from each_run(replace(request, bank=bank), lambda what: _planned(what, request.work), say)
    except NotPreparedError:
        require_weights(request)
        raise


def _planned(what: NextRun, kept: Path | None) -> Plan:
    """Carry a run out up to where its task would compute.

    Args:
        kept: the folder where it stays what is prepared; None if nowhere.
    """
    run, work = what.run, what.work
    sizes = split_sizes(run)
    if what.recorded:
        return Plan(run, what.path, True, sizes, ())
    unfinished_of(run, what.store).require_idle()
    prepare = preparation_of(run.task.entry.name)
    if prepare is None:
        with contextlib.suppress(_WouldComputeError):
            run.task.entry.measure(_UncomputedJob(run, work, unfinished=_NothingDone()), run.task.settings)
        return Plan(run, what.path, False, sizes, ())
    work.mkdir(parents=True, exist_ok=True)
    lines = list(prepare(TransferJob(run, work), run.task.settings))
    if kept is not None:
        lines.append(f"written to {work}: {', '.join(sorted(path.name for path in work.iterdir()))}")
    return Plan(run, what.path, False, sizes, tuple(lines))


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
