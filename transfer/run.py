"""`transfer`: from what the user names (a checkpoint, a task, a data set) to result records."""

from __future__ import annotations

import atexit
import logging
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmbench.checkpoints.assumed import undetermined
from mmbench.checkpoints.stated import NOTHING_STATED, Stated
from mmbench.data import load_dataset
from mmbench.data.quick_check import quick_check
from mmbench.device import resolve_device
from mmbench.distributed import join_processes, launched_processes, on_main
from mmbench.errors import UserError
from mmbench.leftovers import scratch_folder
from mmbench.results import Result, ResultStore
from mmbench.tasks import TASKS
from mmbench.transfer.compute import Compute, Precision
from mmbench.transfer.controls import CONTROLS, RANDOM_CONTROLS
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.job import TransferJob
from mmbench.transfer.loading import load_backbone, receipt_of
from mmbench.transfer.plots.beside_record import draw_beside
from mmbench.transfer.protocol import parse_settings
from mmbench.transfer.task import plan_task, protocol_of, run_task

logger = logging.getLogger("mmbench.transfer")
__all__ = ["CONTROLS", "Outcome", "load_backbone", "transfer"]


@dataclass(frozen=True)
class Outcome:
    """One seed's record, where it is, and whether it was there before."""

    result: Result
    path: Path
    reused: bool


def transfer(
    task: str,
    checkpoint: str,
    data: str,
    *,
    data_root: Path = Path("data"),
    arch: str | None = None,
    image_size: int | None = None,
    stated: Stated = NOTHING_STATED,
    protocol: str | None = None,
    seeds: Sequence[int] = (0,),
    out: Path = Path("results"),
    device: str = "auto",
    precision: Precision = "float32",
    workers: int | None = None,
    work: Path | None = None,
    bank: FeatureBank | None = None,
    labels_file: Path | None = None,
    plot: bool = False,
    overrides: dict[str, Any] | None = None,
    report: Callable[[int, int, str], None] | None = None,
    say: Callable[[str], None] = logger.warning,
) -> list[Outcome]:
    """Measure one task for every seed; records that are there already are reused.

    Under `torchrun` the processes work together; all of them return the same.

    Args:
        checkpoint, arch, image_size, stated: see `load_backbone`. With random weights, `seeds` are those of
            the weights too.
        protocol: id; the task's own default where it is None.
        out: folder of the records.
        precision, workers: see `Compute`.
        work: keeps the logs of detection and segmentation, one folder per seed; None throws them away.
        bank: keeps frozen features between calls; None computes them anew.
        labels_file: official list of the labelled images of a semi-supervised run.
        plot: draw the features and nearest neighbours beside each record.
        say: called with each line about the data that a person should know, before anything is computed.

    Raises:
        UserError: anything that the user can mend; nothing half-written is left in `out`.
    """
    entry = TASKS.get(task)  # mistyped names and settings are reported first
    followed = protocol_of(entry, protocol)
    parse_settings(entry.settings, followed, overrides or {})
    if plot and entry.dense:
        raise UserError(f"task '{task}' has no pictures of features; leave --plot away")
    chosen = resolve_device(device)
    if not entry.dense:
        chosen = join_processes(chosen)
    bank = bank or FeatureBank()
    if launched_processes() > 1 and bank.root is None:
        bank = FeatureBank(Path(on_main(_passing_folder)), bank.stored)
    compute = Compute(chosen, precision, workers)
    on_main(lambda: load_dataset(data, data_root) and None)  # one process prepares what is not there
    dataset = load_dataset(data, data_root)
    remarks = () if entry.dense else (*dataset.remarks, *quick_check(dataset))
    for line in remarks:
        say(line)
    store = ResultStore(out)
    outcomes = []
    backbone = None
    for seed in seeds:
        if backbone is None or checkpoint in RANDOM_CONTROLS:
            backbone = load_backbone(
                checkpoint, arch, dataset, seed, image_size, stated, followed.framing(None)
            )
        plan = plan_task(
            task,
            backbone,
            dataset,
            store,
            protocol_id=protocol,
            seed=seed,
            overrides=overrides,
            compute=compute,
            bank=bank,
            labels_file=labels_file,
        )
        reused = on_main(plan.path.exists)
        with scratch_folder(Path(tempfile.gettempdir()) / "mmbench-transfer") as temporary:
            result = run_task(
                task,
                backbone,
                dataset,
                store,
                work=(work or temporary) / f"{plan.path.stem}",
                protocol_id=protocol,
                seed=seed,
                device=chosen,
                overrides=overrides,
                report=report,
                bank=bank,
                precision=precision,
                workers=workers,
                labels_file=labels_file,
                remarks=(*remarks, *(f"assumed: {phrase}" for phrase in undetermined(backbone.card))),
                receipt_id=None if checkpoint in CONTROLS else receipt_of(Path(checkpoint), backbone),
            )
        outcomes.append(Outcome(result, plan.path, reused))
        if plot:
            job = TransferJob(backbone, dataset, plan.protocol, seed, chosen, Path(), bank=bank)
            draw_beside(replace(job, precision=precision, workers=workers), plan.path)
    return outcomes


def _passing_folder() -> str:
    """Return a new folder that is removed when this process ends."""
    folder = tempfile.mkdtemp(prefix="mmbench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
