"""`transfer`: from what the user names (a checkpoint, a task, a data set) to result records."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.receipt import Receipt
from mmbench.checkpoints.writing import receipt_path
from mmbench.data import Dataset, load_dataset
from mmbench.data.dataset import Split
from mmbench.device import resolve_device
from mmbench.distributed import join_processes, launched_processes, on_main
from mmbench.errors import UserError
from mmbench.results import Result, ResultStore
from mmbench.transfer.bank import FeatureBank
from mmbench.transfer.compute import Compute, Precision
from mmbench.transfer.control import (
    CONTROLS,
    RANDOM_CONTROLS,
    pixels_backbone,
    recalibrated_random_backbone,
)
from mmbench.transfer.features import is_pixels
from mmbench.transfer.protocol import get_protocol
from mmbench.transfer.task import TASKS, TransferJob, plan_task, run_task
from mmbench.transfer.views_of_features import ViewedSplit, draw_views

__all__ = ["CONTROLS", "Outcome", "load_backbone", "transfer"]


@dataclass(frozen=True)
class Outcome:
    """One seed's record, where it is, and whether it was there before."""

    result: Result
    path: Path
    reused: bool


def load_backbone(
    spec: str, arch: str | None, dataset: Dataset, seed: int, image_size: int | None = None
) -> Backbone:
    """Return the backbone that `spec` names.

    Args:
        spec: path of a checkpoint or run folder, or a control: "random", "random-high-pass" or "pixels".
        arch: timm name; needed for random weights, otherwise a check or a help for files that do not tell.
        dataset: the controls take their image size, and random weights their batch-norm statistics, from it.
        seed: seed of random weights.
        image_size: side in pixels that the controls are fed, instead of the data set's own; of weights from
            a file it changes the card, which says so.

    Raises:
        UserError: no such file, no architecture for random weights, or weights that do not fit.
    """
    if spec == "pixels":
        return pixels_backbone(image_size or dataset.image_size)
    if spec in RANDOM_CONTROLS:
        if arch is None:
            raise UserError(
                "random weights need an architecture; add --arch, such as --arch mixmask_resnet18"
            )
        high_pass = spec == "random-high-pass"
        return recalibrated_random_backbone(arch, seed, dataset, high_pass, image_size)
    from mmbench.checkpoints.reading import read_backbone

    backbone = read_backbone(spec, arch)
    return backbone if image_size is None else _fed(backbone, image_size)


def _fed(backbone: Backbone, image_size: int) -> Backbone:
    """Return the backbone with another image size on its card."""
    card = backbone.card
    if card.preprocessing.high_pass is not None:
        raise UserError("the high-pass filter of these weights fits their own size; leave --image-size away")
    preprocessing = card.preprocessing.model_copy(update={"image_size": image_size})
    origins = {**card.origins, "image_size": "asked for by --image-size"}
    return replace(
        backbone, card=card.model_copy(update={"preprocessing": preprocessing, "origins": origins})
    )


def receipt_of(checkpoint: Path, backbone: Backbone) -> str | None:
    """Return the id of the receipt that lies beside a converted checkpoint, None where there is none.

    Raises:
        UserError: the receipt is damaged, or is that of another file.
    """
    path = receipt_path(checkpoint)
    if not path.is_file():
        return None
    try:
        receipt = Receipt.model_validate_json(path.read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(f"{path} is no receipt of a conversion; move it away, or convert again") from None
    if checkpoint.is_file() and receipt.output_sha256 != backbone.card.source_sha256:
        raise UserError(
            f"{path} is the receipt of another file than {checkpoint}; move it away, or convert again"
        )
    return receipt.id


def transfer(
    task: str,
    checkpoint: str,
    data: str,
    *,
    data_root: Path = Path("data"),
    arch: str | None = None,
    image_size: int | None = None,
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
) -> list[Outcome]:
    """Measure one task for every seed; records that are there already are reused.

    Under `torchrun` the processes work together; all of them return the same.

    Args:
        checkpoint, arch, image_size: see `load_backbone`. With random weights, `seeds` are those of the
            weights too.
        protocol: id; the task's own default where it is None.
        out: folder of the records.
        precision, workers: see `Compute`.
        work: keeps the logs of detection and segmentation, one folder per seed; None throws them away.
        bank: keeps frozen features between calls; None computes them anew.
        labels_file: official list of the labelled images of a semi-supervised run.
        plot: draw the features and nearest neighbours beside each record.

    Raises:
        UserError: anything that the user can mend; nothing half-written is left in `out`.
    """
    entry = TASKS.get(task)  # a mistyped name is told before anything is loaded
    if protocol is not None:
        get_protocol(protocol)
    if plot and entry.dense:
        raise UserError(f"task '{task}' has no pictures of features; leave --plot away")
    chosen = resolve_device(device)
    if not entry.dense:
        chosen = join_processes(chosen)
    bank = bank or FeatureBank()
    if launched_processes() > 1 and bank.root is None:
        bank = FeatureBank(Path(on_main(tempfile.mkdtemp)), bank.stored)
    compute = Compute(chosen, precision, workers)
    on_main(lambda: load_dataset(data, data_root) and None)  # one process prepares what is not there
    dataset = load_dataset(data, data_root)
    store = ResultStore(out)
    outcomes = []
    backbone = None
    for seed in seeds:
        if backbone is None or checkpoint in RANDOM_CONTROLS:
            backbone = load_backbone(checkpoint, arch, dataset, seed, image_size)
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
        with tempfile.TemporaryDirectory(prefix="mmbench-") as temporary:
            result = run_task(
                task,
                backbone,
                dataset,
                store,
                work=(work or Path(temporary)) / f"{plan.path.stem}",
                protocol_id=protocol,
                seed=seed,
                device=chosen,
                overrides=overrides,
                report=report,
                bank=bank,
                precision=precision,
                workers=workers,
                labels_file=labels_file,
                receipt_id=None if checkpoint in CONTROLS else receipt_of(Path(checkpoint), backbone),
            )
        outcomes.append(Outcome(result, plan.path, reused))
        if plot:
            job = TransferJob(backbone, dataset, plan.protocol, seed, chosen, Path(), bank=bank)
            draw_beside(replace(job, precision=precision, workers=workers), plan.path)
    return outcomes


def draw_beside(job: TransferJob, record: Path) -> None:
    """Draw the features of the evaluated split and their nearest neighbours in train, beside a record.

    Raises:
        UserError: fewer than four pictures to show.
    """
    bank, queries = (_viewed(job, split) for split in ("train", job.evaluated))
    if is_pixels(job.backbone):  # as kNN does
        mean = bank.features.float().mean(dim=0)
        bank, queries = (replace(view, features=view.features.float() - mean) for view in (bank, queries))
    title = f"{job.backbone.card.arm} on {job.dataset.name}"
    on_main(lambda: draw_views(bank, queries, job.dataset.classes, title, record) and None)


def _viewed(job: TransferJob, split: Split) -> ViewedSplit:
    pictures = job.pictures(split)

    def images(indices: Tensor) -> Tensor:
        return torch.cat(list(pictures.middles(indices.split(128))))

    return ViewedSplit(split, job.features(split), pictures.labels, images)
