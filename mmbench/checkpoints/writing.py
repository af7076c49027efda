"""Write a backbone for another library, prove it, and hand out a receipt; a failure leaves no file."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import torch

from mmbench.checkpoints.architecture import COUNTER, wanted_shapes
from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.parity import compare
from mmbench.checkpoints.receipt import Reading, Receipt
from mmbench.checkpoints.target import TARGETS, WITHOUT_COUNTERS, plain_depth
from mmbench.errors import UserError
from mmbench.files import require_free_space, sha256_of

HEADROOM = 1.2


def convert(
    backbone: Backbone, out: Path, to: str, *, verify: bool = True, reading: Reading | None = None
) -> Receipt:
    """Write `backbone` to `out` for the target library `to`; its receipt lies beside it.

    The file is written elsewhere, checked, and only then moved to `out` (replacing what was there).

    Args:
        verify: compare features with the library's own model, where the library is installed.
        reading: how the backbone was read, for the receipt.

    Raises:
        UserError: unknown target, a network that the target lacks, an incomplete backbone, too little
            disk, or features that differ.
    """
    target = TARGETS.get(to)
    if not out.name.endswith(target.ending):
        raise UserError(
            f"{to} reads only files whose names end in {target.ending}; call it {out.stem}{target.ending}"
        )
    backbone.build()  # raises unless the weights are exactly those of the architecture
    names = target.names(backbone)
    size = sum(tensor.numel() * tensor.element_size() for tensor in backbone.state_dict.values())
    require_free_space(out.parent, int(size * HEADROOM), "the converted checkpoint")
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.stem}-"))
    scratch.chmod(0o755)
    try:
        written = scratch / out.name
        tensors = {names[name]: backbone.state_dict[name].clone() for name in names}
        weights = target.save(tensors, backbone, written)
        parity, words = None, f"names and shapes only: {target.library} is not installed"
        if not verify:
            words = "names and shapes only: asked for without comparison"
        elif target.installed:
            with torch.random.fork_rng(devices=[]):
                parity = compare(backbone, target, written)
            model = (
                f"{target.name}'s own model" if plain_depth(backbone.arch) else "the timm model that it wraps"
            )
            words = f"features of {model}, every stage, fixed batch, float32"
        left_out = {name: _why(name) for name in backbone.state_dict if name not in names}
        receipt = Receipt(
            reading=reading,
            arch=backbone.arch,
            target=to,
            output=out.name,
            output_sha256=sha256_of(weights),
            covered=len(names) + len(left_out),
            wanted=len(wanted_shapes(backbone.arch)),
            names=names,
            left_out=left_out,
            parity=parity,
            verification=words,
        )
        receipt.write(receipt_path(written))
        if out.is_dir():  # a rename replaces a file, but not a folder
            out.rename(scratch.with_name(scratch.name + "-old"))
        for path in list(scratch.iterdir()):
            path.replace(out.parent / path.name)
        shutil.rmtree(scratch.with_name(scratch.name + "-old"), ignore_errors=True)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return receipt


def _why(name: str) -> str:
    if name.endswith(COUNTER):
        return WITHOUT_COUNTERS
    return "behind the last feature map: the target has no place for it"


def receipt_path(out: Path) -> Path:
    """Return where the receipt of `out` lies: inside a folder, beside a file."""
    return out / "receipt.json" if out.is_dir() else out.with_name(out.name + ".receipt.json")


def write_for_detectron2(backbone: Backbone, path: Path) -> Receipt:
    """Write a `.pkl` for Detectron2, without comparison: who trains from it compares what arrived."""
    return convert(backbone, path, "detectron2", verify=False)


def write_for_mmseg(backbone: Backbone, path: Path) -> Receipt:
    """Write a `.pth` for mmsegmentation, without comparison: who trains from it compares what arrived."""
    return convert(backbone, path, "mmseg", verify=False)


def refuse_existing(out: Path, force: bool) -> None:
    """Raise UserError where `out` is there and may not be replaced."""
    if out.exists() and not force:
        raise UserError(f"{out} exists; choose another name or add --force")
