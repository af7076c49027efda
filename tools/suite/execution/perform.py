"""The work of a cell itself: the same calls that the commands `data`, `pretrain` and `transfer` make."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mmbench.files import sha256_of
from mmbench.tools.suite.execution.work import Job, Left, Stop
from mmbench.tools.suite.planning.cell import DataWork, PretrainWork, TransferWork

if TYPE_CHECKING:
    from mmbench.checkpoints.backbone import Backbone
    from mmbench.runs import RunFolder


def perform(job: Job) -> Left:
    """Do what a cell states, and return what it left.

    Raises:
        UserError: anything that the user can fix.
        KeyboardInterrupt: a stop was asked for; a training has saved its state.
    """
    import torch

    torch.set_num_threads(job.place.run.threads)
    work = job.cell.work
    if isinstance(work, PretrainWork):
        return _pretrain(job, work)
    with _ending_at_once(job.stop):
        return _data(job, work) if isinstance(work, DataWork) else _transfer(job, work)


@contextlib.contextmanager
def _ending_at_once(stop: Stop) -> Iterator[None]:
    """Let a stop interrupt the work wherever it is; what it began is removed, or goes on later."""
    if stop.asked:
        raise KeyboardInterrupt
    stop.at_once = True
    try:
        yield
    finally:
        stop.at_once = False


def _data(job: Job, work: DataWork) -> Left:
    """Find a data set; what mmbench can render itself is rendered first."""
    from mmbench.data import load_dataset
    from mmbench.data.patterns import prepare
    from mmbench.processes import cores

    root = job.place.data_root / work.data
    if work.data == "patterns" and not root.exists():
        prepare(root, report=job.report, processes=cores())  # the other workers wait for it
    dataset = load_dataset(work.data, job.place.data_root)
    return Left(dataset.root, dataset.fingerprint)


def _pretrain(job: Job, work: PretrainWork) -> Left:
    from mmbench.errors import UserError
    from mmbench.file_names import counted
    from mmbench.runs import RunFolder
    from mmbench.tools.suite.execution.several_processes import pretrain_in_processes, recorded_processes

    run = RunFolder(job.folder.runs / work.folder)
    if work.processes > 1 and not run.finished:
        pretrain_in_processes(job, work, run)
    else:  # a finished run is compared with what is asked for, however many processes trained it
        _pretrain_here(job, work, run)
    found = recorded_processes(run)
    if found is not None and found != work.processes:
        raise UserError(
            f"{run.root} was trained by {counted(found, 'process')}, and the suite asks for "
            f"{work.processes}; remove the folder to train it again, or choose another folder with --out"
        )
    return Left(run.root, sha256_of(run.weights))


def _pretrain_here(job: Job, work: PretrainWork, run: RunFolder) -> None:
    """Pretrain in this process; a finished run is only compared."""
    from mmbench.pretrain.engine import pretrain
    from mmbench.pretrain.planning import RunRequest
    from mmbench.pretrain.session import Requests
    from mmbench.tools.suite.execution.arm_recipe import arm_recipe

    requests = Requests(idle=True)

    def stop() -> None:
        requests.stop = requests.resubmit = True
        if requests.idle:  # no step to wait for
            raise KeyboardInterrupt

    job.stop.listeners.append(stop)
    if job.stop.asked:
        raise KeyboardInterrupt
    request = RunRequest(
        work.method,
        work.scale,
        work.settings,
        given={
            "arch": work.arch,
            "data": work.data,
            "data_root": job.place.data_root,
            "epochs": work.epochs,
            "seed": work.seed,
            "device": "auto",
            "threads": job.place.run.threads,
        },
        begun=arm_recipe(job.folder, work) or "",  # the suite checked its settings at its start
    )
    plan = request.plan()
    for line in plan.lines:
        job.say(line)
    try:
        pretrain(
            plan.config, run.root, job.report, dataset=plan.reusable_data, requests=requests, say=job.say
        )
    finally:
        job.stop.listeners.remove(stop)


def _transfer(job: Job, work: TransferWork) -> Left:
    from mmbench.data import load_dataset
    from mmbench.errors import UserError
    from mmbench.tools.suite.weights_files import card_digest
    from mmbench.transfer.arms import CONTROLS, RANDOM_CONTROLS, check_arm
    from mmbench.transfer.measuring import measure
    from mmbench.transfer.request import TransferRequest
    from mmbench.transfer.resolution import resolve_task

    dataset = load_dataset(work.data, job.place.data_root)
    task = resolve_task(work.task, work.protocol, work.settings, work.data)
    model: str | Backbone
    arm: str | None = work.arm
    if isinstance(work.weights, PretrainWork):
        folder = job.folder.runs / work.weights.folder
        model = str(folder)
        if _arm_of(folder) == work.arm:
            arm = None
    elif work.weights in RANDOM_CONTROLS:
        from mmbench.transfer.loading import load_model, under_arm

        # A request takes one seed for both; here the weights have their own.
        rule = task.protocol.framing(None)
        check_arm(work.arm, work.weights)
        model = load_model(work.weights, work.arch, dataset, work.weights_seed, rule=rule)
        if model.card.arm != work.arm:
            model = under_arm(model, work.arm)
        arm = None
    else:
        model = work.weights
        if work.arm == work.weights and (work.weights in CONTROLS or _arm_of(Path(work.weights)) == work.arm):
            arm = None  # a control, or a run folder, under its own name
    request = TransferRequest(
        (task,),
        model,
        dataset,
        (work.seed,),
        data_root=job.place.data_root,
        arch=work.arch,
        out=job.folder.results,
        work=job.folder.logs / "tasks" / job.cell.id,
        arm=arm,
    )
    card = card_digest(work.weights, job.folder.runs)
    outcomes = measure(request, report=job.report, say=job.say)
    if len(outcomes) != 1:
        raise UserError(f"{job.cell.name} left {len(outcomes)} records where one was expected")
    return Left(outcomes[0].path, outcomes[0].result.dataset.fingerprint, card)


def _arm_of(folder: Path) -> str | None:
    """Return the arm on the card of a run folder; None where it cannot be read, which is reported later."""
    try:
        arm = json.loads((folder / "card.json").read_text(encoding="utf-8"))["arm"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(arm)
