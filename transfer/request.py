"""TransferRequest: what a user asks for by name, and the runs that follow from it."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import nn

from mmbench.checkpoints.assumed import undetermined
from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.stated import NOTHING_STATED, Stated
from mmbench.data import Dataset, ImageSplit, load_dataset
from mmbench.data.annotated.remarks import checked_remarks
from mmbench.data.manifest import manifest
from mmbench.data.quick_check import quick_check
from mmbench.data.types import Split
from mmbench.device import resolve_device
from mmbench.distributed import join_processes, on_main
from mmbench.errors import UserError
from mmbench.launched import launched_processes
from mmbench.tasks import Option, check_of
from mmbench.transfer.arms import CONTROLS, RANDOM_CONTROLS, check_arm
from mmbench.transfer.compute import Compute, Precision
from mmbench.transfer.encoder import EncodedModel, Encoder, model_of_encoder
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.inputs.features import weights_digest
from mmbench.transfer.inputs.framing import FramingRule
from mmbench.transfer.loading import load_model, receipt_of, require_recordable, under_arm
from mmbench.transfer.module_encoder import model_of_module
from mmbench.transfer.resolution import ResolvedTask
from mmbench.transfer.run import TransferRun, require_labels

Model = str | Backbone | Encoder | nn.Module


@dataclass(frozen=True)
class TransferRequest:
    """Tasks to measure on one model and one data set, for one or several seeds.

    Attributes:
        tasks: with their protocols and settings, see `resolve_task`.
        model: run folder, checkpoint file, name of weights or a control; or the model itself.
        data: name of a data set, path of a folder of images; or the data set itself.
        seeds: of the transfer; with random weights those of the weights too. None runs the trials of each
            task's protocol.
        data_root: folder with one folder per data set.
        arch, image_size, stated: see `load_model`.
        out: folder of the records.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision, workers: see `Compute`.
        bank: stores frozen features between calls; without a folder they are computed anew.
        labels_file: official list of the labelled images of a semi-supervised run.
        plot: draw features and nearest neighbours beside each record.
        work: stores the logs of detection and segmentation; None removes them.
        layout: of a folder, see `load_dataset`; None recognises it.
        arm: row that the records are filed under, instead of the card's; see `under_arm`.
    """

    tasks: tuple[ResolvedTask, ...]
    model: Model
    data: str | Dataset
    seeds: tuple[int, ...] | None = (0,)
    data_root: Path = Path("data")
    arch: str | None = None
    image_size: int | None = None
    stated: Stated = NOTHING_STATED
    out: Path = Path("results")
    device: str = "auto"
    precision: Precision = "float32"
    workers: int | None = None
    bank: FeatureBank = field(default_factory=FeatureBank)
    labels_file: Path | None = None
    plot: bool = False
    work: Path | None = None
    layout: str | None = None
    arm: str | None = None

    def seeds_of(self, task: ResolvedTask) -> tuple[int, ...]:
        """Return the seeds that a task is run with."""
        return tuple(range(task.protocol.trials)) if self.seeds is None else self.seeds


def check_options(tasks: tuple[ResolvedTask, ...], given: dict[Option, str]) -> list[str]:
    """Return a line for each option that only some of the tasks use.

    Args:
        given: the options that the user stated, and how each is spelled.

    Raises:
        UserError: an option that none of the tasks uses.
    """
    lines = []
    for option, spelling in given.items():
        using = [task.entry.name for task in tasks if option in task.entry.uses]
        names = [task.entry.name for task in tasks]
        if not using:
            raise UserError(f"{' and '.join(dict.fromkeys(names))} cannot use {spelling}; omit it")
        if len(using) < len(names):
            lines.append(f"{spelling} is used by {', '.join(dict.fromkeys(using))} only")
    return lines


def requested_runs(request: TransferRequest, say: Callable[[str], None]) -> Iterator[TransferRun]:
    """Yield the runs of a request, seed by seed, each when its weights are loaded.

    The processes of `torchrun` are connected first, and the data are checked before any weights are loaded.

    Args:
        say: called with each line about the data that a person should know.

    Raises:
        UserError: anything about data and weights that the user can fix.
    """
    if request.arm is not None:
        check_arm(request.arm, request.model if isinstance(request.model, str) else "")
    device = join_processes(resolve_device(request.device))
    compute = Compute(device, request.precision, request.workers)
    dataset = _opened(request)
    for task in request.tasks:
        if not task.entry.dense:
            require_labels(dataset, task.entry.name)
    _check_labels(request, dataset)
    dense = all(task.entry.dense for task in request.tasks)
    remarks = () if dense else (*dataset.remarks, *quick_check(dataset))
    changed = [line for task in request.tasks if task.entry.dense for line in task.settings.remarks()]
    for line in dict.fromkeys((*remarks, *_box_remarks(request, dataset), *changed)):
        say(line)
    yield from _runs(request, dataset, compute, remarks)


def _check_labels(request: TransferRequest, dataset: Dataset) -> None:
    """Refuse what the labels of the data show that a task cannot do, before any task computes something.

    Raises:
        UserError: it is named with its protocol, where there are several.
    """
    for task in request.tasks:
        check = check_of(task.entry.name)
        if check is not None:
            with naming(task.protocol.id if len(request.tasks) > 1 else ""):
                check(dataset, task.settings, request.labels_file)


@contextlib.contextmanager
def naming(run: str) -> Iterator[None]:
    """Put the name of a run before the message of a UserError."""
    try:
        yield
    except UserError as error:
        if run:
            error.args = (f"{run}: {error}",)
        raise


def _opened(request: TransferRequest) -> Dataset:
    if isinstance(request.data, Dataset):
        return request.data
    data, root, layout = request.data, request.data_root, request.layout
    on_main(lambda: load_dataset(data, root, layout) and None)  # one process prepares what is not there
    return load_dataset(data, root, layout)


def _box_remarks(request: TransferRequest, dataset: Dataset) -> tuple[str, ...]:
    """Return what is unusual in the boxes that tasks use; those tasks put it in their records.

    Raises:
        UserError: the data set has no boxes, or something in them is refused.
    """
    evaluated = [task.protocol.split for task in request.tasks if task.entry.data == "boxes"]
    if not evaluated:
        return ()
    return checked_remarks(dataset.require_annotated(), cast(list[Split], evaluated))


def _runs(
    request: TransferRequest, dataset: Dataset, compute: Compute, remarks: tuple[str, ...]
) -> Iterator[TransferRun]:
    """Yield the runs, seed by seed; tasks that need the same weights share them and their features."""
    frozen = sum(task.entry.frozen for task in request.tasks)
    bank = request.bank
    if bank.root is None and (launched_processes() > 1 or frozen > 1):
        bank = FeatureBank(Path(on_main(_temporary_folder)), bank.stored)
    random = request.model in RANDOM_CONTROLS if isinstance(request.model, str) else False
    loaded: dict[tuple[int, FramingRule] | None, tuple[Backbone, tuple[str, ...], str | None, str]] = {}
    for seed in dict.fromkeys(seed for task in request.tasks for seed in request.seeds_of(task)):
        for task in (task for task in request.tasks if seed in request.seeds_of(task)):
            rule = task.protocol.framing(None)
            key = (seed, rule) if random else None
            if key not in loaded:
                loaded.clear()
                backbone = _loaded(request, dataset, seed, rule, bank if frozen else None)
                if request.arm is not None:
                    backbone = under_arm(backbone, request.arm)
                require_recordable(backbone.card)
                open_questions = [] if isinstance(backbone, EncodedModel) else undetermined(backbone.card)
                assumed = tuple(f"assumed: {phrase}" for phrase in open_questions)
                receipt_id = _receipt_id(request, backbone)
                loaded[key] = backbone, assumed, receipt_id, weights_digest(backbone)
            backbone, assumed, receipt_id, weights_sha256 = loaded[key]
            entry = task.entry
            yield TransferRun(
                task,
                backbone,
                dataset,
                seed,
                compute,
                bank,
                request.labels_file if "labels_file" in entry.uses else None,
                remarks=(*(() if entry.dense else remarks), *assumed),
                receipt_id=receipt_id,
                weights_sha256=weights_sha256,
            )


def require_weights(request: TransferRequest) -> None:
    """Check the weights without the data, for which a few random images stand.

    Raises:
        UserError: they cannot be loaded.
    """
    known = None if isinstance(request.data, Dataset) else manifest(request.data)
    size = 224 if known is None else known.image_size  # px
    noise = torch.randint(0, 256, (4, 3, size, size), dtype=torch.uint8)
    split = ImageSplit(noise, torch.zeros(4, dtype=torch.int64))
    stand_in = Dataset("noise", request.data_root, ("noise",), {"train": lambda: split}, size)
    backbone = _loaded(request, stand_in, 0, request.tasks[0].protocol.framing(None), None)
    require_recordable(backbone.card if request.arm is None else under_arm(backbone, request.arm).card)
    _receipt_id(request, backbone)


def _loaded(
    request: TransferRequest, dataset: Dataset, seed: int, rule: FramingRule, bank: FeatureBank | None
) -> Backbone:
    model = request.model
    if isinstance(model, Backbone):
        return model
    if isinstance(model, str):
        size, stated = request.image_size, request.stated
        return load_model(model, request.arch, dataset, seed, size, stated, rule, bank)
    return model_of_encoder(model) if isinstance(model, Encoder) else model_of_module(model)


def _receipt_id(request: TransferRequest, backbone: Backbone) -> str | None:
    if not isinstance(request.model, str) or request.model in CONTROLS:
        return None
    return receipt_of(Path(request.model.removeprefix("local-dir:")), backbone)


def _temporary_folder() -> str:
    """Return a new folder that is removed when this process ends."""
    folder = tempfile.mkdtemp(prefix="mmbench-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
