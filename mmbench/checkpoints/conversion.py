"""Convert a checkpoint for another library in one call: read it, prove the reading, write it, prove that."""

from __future__ import annotations

from pathlib import Path

from mmbench.checkpoints.arguments import require_conversion, require_reading
from mmbench.checkpoints.format import Encoder
from mmbench.checkpoints.proof.later import Verification, verify_converted
from mmbench.checkpoints.proof.receipt import Receipt
from mmbench.checkpoints.proof.source_proof import prove_source
from mmbench.checkpoints.reading import read_checkpoint
from mmbench.checkpoints.stated import NOTHING_STATED, Stated
from mmbench.checkpoints.writing import Verify, convert, receipt_path, refuse_existing
from mmbench.errors import UserError
from mmbench.home import home_path, path_text
from mmbench.own_state import own_state
from mmbench.writable import require_writable


@own_state()
def convert_checkpoint(
    spec: str | Path,
    target: str,
    out: str | Path,
    *,
    arch: str | None = None,
    encoder: Encoder = "default",
    stated: Stated = NOTHING_STATED,
    verify: Verify = True,
    without_high_pass: bool = False,
    force: bool = False,
) -> Receipt:
    """Write a checkpoint for another library; its receipt is saved beside it.

    Args:
        spec: a path or a name, as for `mmbench.load_backbone`.
        target: "timm", "torchvision", "safetensors", "detectron2", "mmseg", "mmdet" or "mmpretrain".
        out: file to write; for timm a folder.
        arch, encoder, stated: how the checkpoint is read; see `mmbench.load_backbone`.
        verify: compare features with the libraries' own networks, where they are installed; "later" leaves it
            to `verify_checkpoint`, and the receipt says so.
        without_high_pass: leave the high-pass filter that the weights expect out of the written network.
        force: replace `out`.

    Returns:
        The receipt: what became of each tensor, and the largest relative error of the features per stage.

    Raises:
        UserError: an unreadable or incomplete source, an unknown target, a network that the target does not
            have, an `out` that exists or would replace the source, or features that differ; then nothing is
            written.

    Example:
        >>> receipt = convert_checkpoint("runs/mixmask", "detectron2", "backbone.pkl")  # doctest: +SKIP
        >>> receipt.parity["stage 4"] < 1e-5  # doctest: +SKIP
        True
    """
    require_reading(spec, arch, encoder, stated)
    require_conversion(target, verify, without_high_pass=without_high_pass, force=force)
    out = home_path(out, "out")
    refuse_existing(out, force)
    if out.is_dir() and not (out / "config.json").is_file():
        raise UserError(f"{out} is a folder, but not a converted model; choose another name")
    require_writable(out, "out")
    _keep_source(path_text(spec), out)
    read = read_checkpoint(spec, arch, encoder, stated)
    return convert(
        read.backbone,
        out,
        target,
        verify=verify,
        reading=read.reading,
        without_high_pass=without_high_pass,
        source_parity=prove_source(read) if verify is True else None,
    )


def _keep_source(spec: str, out: Path) -> None:
    """Check that writing `out` replaces nothing of the checkpoint that is read.

    In a source's folder only what an earlier conversion wrote, which has its receipt, may be replaced.

    Raises:
        UserError: it is the source, holds it, or is another file of its folder.
    """
    source, place = home_path(spec.removeprefix("local-dir:")).resolve(), out.resolve()
    if not source.exists() or not out.exists():
        return
    within = source in place.parents and not receipt_path(out).exists()
    if within or place in (source, *source.parents) or out.samefile(source):
        raise UserError(f"{out} is the checkpoint that is read, or a part of it; choose another name")


@own_state()
def verify_checkpoint(
    spec: str | Path,
    target: str,
    out: str | Path,
    *,
    arch: str | None = None,
    encoder: Encoder = "default",
    stated: Stated = NOTHING_STATED,
    without_high_pass: bool = False,
) -> tuple[Receipt, Verification]:
    """Compare features of an earlier conversion with its source; nothing but the result is written.

    Args:
        spec, target, out, arch, encoder, stated, without_high_pass: as for the conversion.

    Returns:
        The receipt of the conversion, and what was found.

    Raises:
        UserError: not the source, the options or the file of the receipt, a library that is not installed,
            or features that differ.
    """
    read = read_checkpoint(spec, arch, encoder, stated)
    return verify_converted(read, home_path(out), target, without_high_pass=without_high_pass)
