"""`mmbench convert`: a checkpoint for another library, with a receipt and a proof."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mmbench.checkpoints.format import Encoder
from mmbench.checkpoints.stated import Stated
from mmbench.checkpoints.stating import stating_options
from mmbench.cli import paths
from mmbench.cli.next_step import next_step
from mmbench.cli.paths import Place
from mmbench.errors import UserError
from mmbench.tools.checkpoint_options import arch_option, encoder_option
from mmbench.writable import require_writable

if TYPE_CHECKING:
    from mmbench.checkpoints.proof.later import Verification
    from mmbench.checkpoints.proof.receipt import Receipt
    from mmbench.checkpoints.writing import Verify


def print_receipt(receipt: Receipt, console: Console, verification: Verification | None = None) -> None:
    """Print what was read, what was dropped and why, and the proof, which may be of a later verification."""
    table = Table(show_header=False, box=None, pad_edge=False)
    if receipt.reading is not None:
        reading = receipt.reading
        table.add_row(
            "read", Text(f"{reading.source} ({reading.format} format, sha256 {reading.sha256[:12]})")
        )
        if reading.choice:
            table.add_row("weights", Text(f"{reading.weights or 'the file itself'}: {reading.choice}"))
        for line in reading.sets:
            table.add_row("found", Text(line))
        reasons: dict[str, int] = {}
        for why in reading.dropped.values():
            reasons[why] = reasons.get(why, 0) + 1
        for why, count in reasons.items():
            table.add_row("dropped", Text(f"{count} tensors: {why}"))
        for line in reading.changed:
            table.add_row("changed", Text(line))
        if reading.filled:
            table.add_row("filled", f"{len(reading.filled)} batch-norm counters that the file lacks, with 0")
    table.add_row("backbone", f"{receipt.arch}: {receipt.covered} of {receipt.wanted} tensors (100%)")
    said = () if receipt.reading is None else receipt.reading.assumed
    for line in dict.fromkeys((*said, *receipt.assumed)):
        table.add_row("assumed", Text(line))
    if (source := (verification or receipt).source_parity) is not None:
        compared = "not compared" if source.error is None else f"largest relative error {source.error:.1e}"
        table.add_row("source", Text(f"{source.words}: {compared}"))
    table.add_row("written", Text(f"{receipt.output} for {receipt.target}"))
    if receipt.left_out:
        table.add_row("left out", f"{len(receipt.left_out)}: {next(iter(receipt.left_out.values()))}")
    table.add_row("checked" if verification is None else "converted", Text(receipt.verification))
    if verification is not None:
        table.add_row("checked", Text(verification.verification))
    for stage, error in ((verification or receipt).parity or {}).items():
        table.add_row("", f"{stage}: largest relative error {error:.1e}")
    for line in receipt.notes:
        table.add_row("note", Text(line))
    console.print(table, highlight=False)


@click.command(epilog="Example: mmbench convert runs/mixmask backbone.pkl --to detectron2")
@click.argument("checkpoint", type=paths.checkpoint())
@click.argument("out", type=Place())
@click.option(
    "--to", required=True, help="timm, torchvision, safetensors, detectron2, mmseg, mmdet, mmpretrain."
)
@arch_option
@encoder_option
@stating_options
@click.option(
    "--verify",
    type=click.Choice(("now", "later", "only", "no")),
    default="now",
    show_default=True,
    help="Compare features at every stage now; later, which the receipt says; only: of what an earlier "
    "command with the same options wrote; or no.",
)
@click.option("--no-verify", is_flag=True, help="The same as --verify no.")
@click.option(
    "--without-high-pass",
    is_flag=True,
    help="Leave the high-pass filter that MSCN-style weights expect out of the written network.",
)
@click.option("--force", is_flag=True, help="Replace OUT.")
@click.option("--push", "repository", metavar="USER/NAME", help="Upload the timm folder to the model hub.")
@click.option("--private", is_flag=True, help="Where --push makes a new repository, make it private.")
def convert(
    checkpoint: str,
    out: Path,
    to: str,
    arch: str | None,
    encoder: Encoder,
    stated: Stated,
    verify: str,
    no_verify: bool,
    without_high_pass: bool,
    force: bool,
    repository: str | None,
    private: bool,
) -> None:
    """Convert CHECKPOINT into OUT for another library, and prove that the features are the same.

    Reads run folders of mmbench, timm and torchvision files, and those of MoCo, SimSiam, Barlow Twins,
    VICReg, SwAV, DINO, OpenMMLab, VISSL, solo-learn, lightly and Detectron2; and weights by name:
    timm:NAME, hf-hub:USER/NAME, local-dir:FOLDER, torchvision:NAME.WEIGHTS.
    """
    if repository is not None and to != "timm":
        raise UserError("--push takes the folder that --to timm writes; convert --to timm")
    if no_verify:
        if verify in ("later", "only"):
            raise UserError(f"--verify {verify} and --no-verify exclude each other; leave out one of them")
        verify = "no"
    require_writable(out, "OUT")
    from mmbench.checkpoints.conversion import convert_checkpoint, verify_checkpoint
    from mmbench.checkpoints.weights_by_name.hub import check_name, push
    from mmbench.checkpoints.writing import receipt_path, refuse_existing, verification_path

    if repository is not None:
        check_name(repository)
    console = Console()
    reading: dict[str, Any] = {"arch": arch, "encoder": encoder, "stated": stated}
    reading["without_high_pass"] = without_high_pass
    if verify == "only":
        if force:
            raise UserError("--verify only replaces nothing; leave out --force")
        receipt, verification = verify_checkpoint(checkpoint, to, out, **reading)
        print_receipt(receipt, console, verification)
        found = verification_path(out)
        console.print(f"verification: {found}", highlight=False, soft_wrap=True, markup=False)
    else:
        refuse_existing(out, force)  # before anything is read
        choice: dict[str, Verify] = {"now": True, "no": False, "later": "later"}
        receipt = convert_checkpoint(checkpoint, to, out, **reading, verify=choice[verify], force=force)
        print_receipt(receipt, console)
    console.print(f"receipt: {receipt_path(out)}", highlight=False, soft_wrap=True, markup=False)
    if repository is not None:
        address = push(out, repository, private=private)
        console.print(f"pushed to {address}", highlight=False, soft_wrap=True, markup=False)
    next_step("inspect", out)
