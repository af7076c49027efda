"""Write a backbone for another library, prove it, and write a receipt; a failure leaves no file."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mmbench.checkpoints.assumed import undetermined
from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.files.opening import open_checkpoint
from mmbench.checkpoints.images.notes import image_notes
from mmbench.checkpoints.networks.architecture import mismatches, shapes_of, wanted_shapes
from mmbench.checkpoints.networks.plain import COUNTER, Shapes
from mmbench.checkpoints.proof.parity import compare
from mmbench.checkpoints.proof.receipt import Reading, Receipt, SourceParity
from mmbench.checkpoints.target import TARGETS, WITHOUT_COUNTERS, Target
from mmbench.errors import UserError
from mmbench.files import require_free_space
from mmbench.leftovers import OLD, scratch_folder

HEADROOM = 1.2
LATER = "features are still to be compared, as asked: the same command with --verify only does it"
Verify = bool | Literal["later"]


def convert(
    backbone: Backbone,
    out: Path,
    to: str,
    *,
    verify: Verify = True,
    reading: Reading | None = None,
    without_high_pass: bool = False,
    source_parity: SourceParity | None = None,
) -> Receipt:
    """Write `backbone` to `out` for the target library `to`; its receipt lies beside it.

    The file is written elsewhere, checked, and only then moved to `out` (replacing what was there).

    Args:
        verify: compare features with the library's own model, where the library is installed; "later" writes
            a receipt that says that they are still to be compared, by `later.verify_converted`.
        reading: how the backbone was read, for the receipt.
        without_high_pass: leave the filter that the weights expect out of the written network; the receipt
            says so.
        source_parity: how what was read compares with the source library's own network, for the receipt.

    Raises:
        UserError: unknown target, a network that the target lacks, a filter that its networks cannot hold,
            an incomplete backbone, too little disk, or features that differ.
    """
    target = TARGETS.get(to)
    backbone = for_target(backbone, without_high_pass)
    if not out.name.endswith(target.ending):
        raise UserError(
            f"{to} reads only files whose names end in {target.ending}; name it {out.stem}{target.ending}"
        )
    _require(wanted_shapes(backbone.arch), backbone.state_dict, f"the {backbone.card.arm} checkpoint")
    names = target.names(backbone)
    tensors = {names[name]: _alone(backbone.state_dict[name]) for name in names}
    _require(target.manifest(backbone), tensors, f"what {target.model(backbone)} takes")
    size = sum(tensor.nbytes for tensor in tensors.values())
    require_free_space(out.parent, int(size * HEADROOM), "the converted checkpoint")
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(out) as scratch:
        written = scratch / "new" / out.name
        written.parent.mkdir()
        saved = target.save(tensors, backbone, written)
        parity, words = _check(target, backbone, tensors, written, saved.path, verify)
        left_out = {name: _why(name) for name in backbone.state_dict if name not in names}
        receipt = Receipt(
            reading=reading,
            arch=backbone.arch,
            target=to,
            output=out.name,
            output_sha256=saved.sha256,
            covered=len(names) + len(left_out),
            wanted=len(wanted_shapes(backbone.arch)),
            names=names,
            left_out=left_out,
            parity=parity,
            verification=words,
            assumed=tuple(undetermined(backbone.card)),
            source_parity=source_parity,
            notes=(*target.notes(backbone), *image_notes(target, backbone), *_left_outside(backbone)),
        )
        receipt.write(receipt_path(written))
        verification_path(out).unlink(missing_ok=True)  # of what is replaced
        if out.is_dir():  # a rename replaces a file, but not a folder
            out.rename(scratch / OLD)
        for path in sorted(written.parent.iterdir(), key=lambda path: path.name != out.name):
            path.replace(out.parent / path.name)
    return receipt


def for_target(backbone: Backbone, without_high_pass: bool) -> Backbone:
    """Return the backbone as it is written: its filter in the network, or left out as asked."""
    return replace(backbone, filter_outside=True) if without_high_pass else backbone


def _left_outside(backbone: Backbone) -> list[str]:
    """Return the warning that belongs to weights whose filter no network holds."""
    filter_ = backbone.card.preprocessing.high_pass
    if filter_ is None or backbone.high_pass is not None:
        return []
    return [
        f"the high-pass filter of these weights (kernel {filter_.kernel_size} px, "
        f"sigma {filter_.sigma:g} px) was left out, as asked: filter normalised "
        "images by mmbench.images.preprocessing.high_pass"
    ]


def _require(wanted: Shapes, tensors: dict[str, Tensor], what: str) -> None:
    """Raise UserError unless the tensors are exactly those wanted."""
    if problems := mismatches(wanted, shapes_of(tensors)):
        raise UserError(f"{what}: {'; '.join(problems)}; check the file and --arch")


def _alone(tensor: Tensor) -> Tensor:
    """Return the tensor on memory of its own: writers store the whole block that a view lies in."""
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _check(
    target: Target,
    backbone: Backbone,
    tensors: dict[str, Tensor],
    written: Path,
    weights: Path,
    verify: Verify,
) -> tuple[dict[str, float] | None, str]:
    """Return the errors of every stage where the library is installed, and a phrase: what was checked.

    Raises:
        UserError: features differ, or the file does not hold what was written.
    """
    model = target.model(backbone)
    if verify == "later":
        return None, f"names and shapes against the list of {model}; {LATER}"
    if not verify:
        return None, f"names and shapes against the list of {model}; features were not compared, as asked"
    if target.installed:
        return compared(target, backbone, written)
    again = open_checkpoint(weights).tensors
    _require(target.manifest(backbone), again, f"{written.name} read back")
    if not all(torch.equal(again[name], tensor) for name, tensor in tensors.items()):
        raise UserError(f"{written.name} read back holds other numbers than were written; check the disk")
    missing = f"{target.library.partition('.')[0]} is not installed or does not import here"
    return None, f"file read back, names and shapes against the list of {model}; {missing}"


def compared(target: Target, backbone: Backbone, written: Path) -> tuple[dict[str, float], str]:
    """Return the errors of every stage, and a phrase: what was compared.

    Raises:
        UserError: features differ.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries about their own insides
        parity = compare(backbone, target, written)
    return parity, f"features of {target.model(backbone)}: every stage, fixed batch, float32"


def _why(name: str) -> str:
    if name.endswith(COUNTER):
        return WITHOUT_COUNTERS
    return "behind the last feature map: the target has no place for it"


def receipt_path(out: Path) -> Path:
    """Return where the receipt of `out` lies: inside a folder, beside a file."""
    return out / "receipt.json" if out.is_dir() else out.with_name(out.name + ".receipt.json")


def verification_path(out: Path) -> Path:
    """Return where a verification of `out` that was made later lies."""
    return out / "verification.json" if out.is_dir() else out.with_name(out.name + ".verification.json")


def write_for_detectron2(backbone: Backbone, path: Path) -> Receipt:
    """Write a `.pkl` for Detectron2, not compared: the training that loads it compares what arrived.

    Its images are filtered by mmbench's own detectors, not by the network.
    """
    return convert(backbone, path, "detectron2", verify=False, without_high_pass=True)


def write_for_mmseg(backbone: Backbone, path: Path) -> Receipt:
    """Write a `.pth` for mmsegmentation, not compared: the training that loads it compares what arrived.

    Its images are filtered by mmbench's own preprocessor, not by the network.
    """
    return convert(backbone, path, "mmseg", verify=False, without_high_pass=True)


def refuse_existing(out: Path, force: bool) -> None:
    """Raise UserError where `out` is there and may not be replaced."""
    if out.exists() and not force:
        raise UserError(f"{out} exists; choose another name or add --force")
