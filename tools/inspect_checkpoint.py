"""`mmbench inspect`: what a checkpoint holds and what would be kept of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmbench.checkpoints.format import Encoder
from mmbench.checkpoints.stated import Stated
from mmbench.checkpoints.stating import STATING, stating_options
from mmbench.cli import paths
from mmbench.cli.next_step import next_step, passed_on
from mmbench.tools.checkpoint_options import arch_option, encoder_option

if TYPE_CHECKING:
    from mmbench.checkpoints.reading import ReadCheckpoint

VERIFIED: dict[bool | None, str | None] = {
    None: None,
    True: "card.json and weights match their digests",
    False: "not verified: card.json is of an older version and holds no digests",
}


def describe(read: ReadCheckpoint) -> dict[str, Any]:
    """Return the facts of a checkpoint as plain values."""
    card, reading = read.backbone.card, read.reading
    parameters = sum(
        tensor.numel()
        for name, tensor in read.backbone.state_dict.items()
        if name.rpartition(".")[2] in ("weight", "bias")
    )
    return {
        "source": reading.source,
        "sha256": reading.sha256,
        "verified": VERIFIED[read.verified],
        "format": reading.format,
        "weights": reading.weights,
        "sets of weights": list(reading.sets),
        "choice": reading.choice,
        "architecture": reading.arch,
        "arch": reading.arch,
        "architecture options": dict(card.arch_options),
        "parameters": parameters,
        "arm": card.arm,
        "method": card.method,
        "framework": card.framework,
        "masking": card.masking,
        "pretraining data": card.pretrain_data,
        "epochs": card.epochs,
        "seed": card.seed,
        "preprocessing": card.preprocessing.model_dump(),
        "kept": len(reading.tensors),
        "dropped": len(reading.dropped),
        "changed": list(reading.changed),
        "assumed": list(reading.assumed),
        "origins": card.origins,
    }


@click.command(epilog="Example: mmbench inspect runs/mixmask --keys")
@click.argument("checkpoint", type=paths.checkpoint())
@arch_option
@encoder_option
@stating_options
@click.option("--keys", is_flag=True, help="List every tensor and what becomes of it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(
    checkpoint: str, arch: str | None, encoder: Encoder, stated: Stated, keys: bool, as_json: bool
) -> None:
    """Show format, architecture, origin and preprocessing of CHECKPOINT, and what would be kept.

    CHECKPOINT is a run folder, a timm folder, a file of weights or a name such as timm:resnet50.a1_in1k.
    """
    from mmbench.checkpoints.reading import read_checkpoint

    read = read_checkpoint(checkpoint, arch, encoder, stated)
    facts = describe(read)
    kept = {
        fate.source: {"name": fate.canonical, "shape": list(fate.shape), "dtype": fate.dtype}
        for fate in read.reading.tensors
    }
    if as_json:
        listing = {"keys": kept, "dropped keys": read.reading.dropped} if keys else {}
        click.echo(json.dumps({**facts, **listing}, indent=2))
        return
    console = Console()
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in facts.items():
        if value not in (None, "", [], {}) and name != "arch":  # which stands there already
            words = str(value)
            if isinstance(value, dict):
                words = "; ".join(f"{key}: {inner}" for key, inner in value.items() if inner is not None)
            elif isinstance(value, list):
                words = "; ".join(value)
            table.add_row(name, Text(words))
    console.print(table, highlight=False)
    if keys:
        listing_table = Table("stored as", "becomes", "shape", "dtype")
        for source, fate in kept.items():
            shape = " x ".join(map(str, fate["shape"])) or "scalar"
            listing_table.add_row(Text(source), Text(str(fate["name"])), shape, str(fate["dtype"]))
        for source, why in read.reading.dropped.items():
            listing_table.add_row(Text(source), Text(f"dropped: {why}", "dim"), "", "")
        console.print(listing_table)
    next_step(*_following(checkpoint, encoder))


def _following(checkpoint: str, encoder: Encoder) -> tuple[str, ...]:
    """Return the words of a command that measures what was read; a choice of encoder is converted first."""
    if encoder != "default":
        return ("convert", checkpoint, f"{encoder}-encoder", "--to", "timm", *passed_on("encoder", *STATING))
    return (
        *("transfer", "--task", "knn", "--checkpoint", checkpoint),
        *(*passed_on(*STATING), "--data", "patterns"),
    )
