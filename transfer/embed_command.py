"""`mmbench embed`: features of a data set behind a checkpoint, for other programs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click
from rich.console import Console

from mmbench.checkpoints.stated import Stated
from mmbench.checkpoints.stating import STATING, of_a_file
from mmbench.cli import options, paths
from mmbench.cli.next_step import next_step, passed_on
from mmbench.data.types import Split
from mmbench.launched import launched_rank
from mmbench.progress import progress_report
from mmbench.transfer.arms import CONTROLS
from mmbench.writable import require_writable

if TYPE_CHECKING:
    from mmbench.data import Dataset

SEVERAL_LABELS = "linear/voc07-svm@2"  # what measures features of images with several labels each
# Options that `transfer` has too, besides those of the checkpoint.
SHARED = ("data_root", "bank", "no_bank", "precision", "workers", "device", "threads")


@click.command("embed", epilog="Example: mmbench embed --checkpoint runs/mixmask --data patterns --out f.npy")
@options.config()
@options.checkpoint(type=paths.checkpoint(CONTROLS), required=True)
@options.data(type=paths.DATA, required=True)
@options.data_root()
@options.splits(help="Splits. Default: all that the data set has.")
@options.out_file(required=True, help="File to write: NAME.npy (with NAME.csv and NAME.json) or NAME.npz.")
@options.arch(help="timm name of the backbone, for random weights and files that do not state it.")
@options.image_size(help="Pixels a side that the backbone is fed. Default: as its card states.")
@of_a_file
@options.seed(help="Seed of random weights.")
@options.bank()
@options.no_bank()
@options.precision()
@options.workers()
@options.device()
@options.threads()
def embed_command(
    checkpoint: str, data: str, data_root: Path, splits: tuple[Split, ...], out: Path, **others: Any
) -> None:
    """Write the features of a data set or an image folder, as the kNN task uses them.

    The table beside the features names the file, the split, the label and the class of each row.
    """
    from mmbench.device import resolve_device
    from mmbench.distributed import join_processes, on_main
    from mmbench.transfer.compute import Compute
    from mmbench.transfer.embed import (
        embed,
        knn_framing,
        open_data,
        require_ending,
        require_own_companions,
        write_embedding,
    )
    from mmbench.transfer.inputs.feature_bank import FeatureBank
    from mmbench.transfer.loading import load_model

    require_ending(out)
    require_writable(out, "--out")
    require_own_companions(out)
    bank: Path | None = None if others["no_bank"] else others["bank"]
    if bank is not None:
        require_writable(bank, "--bank")
    if others["threads"] is not None:
        import torch

        torch.set_num_threads(others["threads"])
    first = launched_rank() == 0
    console = Console(stderr=not sys.stdout.isatty(), quiet=not first)
    compute = Compute(resolve_device(others["device"]), others["precision"], others["workers"])
    dataset, remarks = open_data(data, data_root)
    for line in remarks if first else ():
        click.echo(line, err=True)
    backbone = load_model(
        checkpoint,
        others["arch"],
        dataset,
        others["seed"],
        others["image_size"],
        cast(Stated, others["stated"]),
        knn_framing(None),
    )
    compute = Compute(join_processes(compute.device), compute.precision, compute.workers)
    with progress_report(console, "embed") as report:
        found = embed(backbone, dataset, compute, splits=splits, bank=FeatureBank(bank), report=report)
    paths = on_main(lambda: write_embedding(found, out))
    if first:
        images, width = found.shape
        click.echo(f"{images} images, {width} features each: {', '.join(map(str, paths))}")
        next_step(*following(dataset, checkpoint, data))


def following(dataset: Dataset, checkpoint: str, data: str) -> tuple[str, ...]:
    """Return the words of a command that measures these features, or trains on images without labels."""
    from mmbench.data.folder import UNLABELLED
    from mmbench.tasks import TASKS
    from mmbench.transfer.protocol import get_protocol

    if dataset.classes == UNLABELLED:
        place = passed_on("data_root")
        return ("pretrain", "--method", "mixmask", "--data", data, *place, "--out", "runs/mixmask")
    protocol, fewer = "", 0
    if dataset.multilabel:
        protocol = SEVERAL_LABELS
    else:
        asked = get_protocol(TASKS.get("knn").protocol_on(data)).settings["neighbours"]
        images = len(dataset.labels("train"))
        fewer = images if images < asked else 0
    return (
        "transfer",
        *(("--protocol", protocol) if protocol else ("--task", "knn")),
        *("--checkpoint", checkpoint, "--data", data),
        *passed_on(*STATING, *SHARED, seed="--seeds"),
        *(("--set", f"neighbours={fewer}") if fewer else ()),
    )
