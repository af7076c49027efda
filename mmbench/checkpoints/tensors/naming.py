"""The tensors of a file under torchvision's names, in float32, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mmbench.checkpoints.files.containers import describe, one_line
from mmbench.checkpoints.files.opening import Opened
from mmbench.checkpoints.format import CLASSIFIER, Encoder, Format
from mmbench.checkpoints.networks.architecture import wanted_shapes, whole_numbers, with_classifier
from mmbench.checkpoints.networks.plain import COUNTER
from mmbench.checkpoints.proof.receipt import TensorFate
from mmbench.checkpoints.tensors.library_sets import TIMM_NAMES
from mmbench.checkpoints.tensors.training_state import STATE, is_training_state
from mmbench.errors import UserError

# Elements of a tensor that may be fewer stored values, repeated by strides of 0; more would fill the memory.
MOST_REPEATED = 2**20
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Renamed:
    """How stored tensors got torchvision's names.

    Attributes:
        entry: the format.
        unknown: whether no format was recognised, and timm's own names were taken.
        names: names as the format knows them.
        fates: what became of each tensor that was kept.
        dropped: stored name -> why it was not kept.
        changed: one phrase for each kind of change.
    """

    entry: Format
    unknown: bool
    names: tuple[str, ...]
    fates: list[TensorFate]
    dropped: dict[str, str]
    changed: list[str]


def named_tensors(
    opened: Opened, weights: Path, arch: str | None, encoder: Encoder
) -> tuple[dict[str, Tensor], Renamed]:
    """Return the backbone's tensors under torchvision's names, and how they got them.

    Raises:
        UserError: no known format, no such encoder, or tensors that cannot be weights.
    """
    choice = opened.choice
    inner, entry = choice.taken.inner, choice.taken.entry
    if is_training_state(opened.content, choice) and not choice.taken.prefix:
        entry = STATE
    if entry is None and arch is None:
        first = ", ".join(one_line(key, 60) for key in sorted(opened.tensors)[:3])
        raise UserError(
            f"{weights} is not a ResNet checkpoint of a known format (its keys begin {first}; it holds: "
            f"{describe(opened.content)}); "
            "if timm has this network, name it by --arch"
        )
    entry = entry or TIMM_NAMES
    prefix = entry.prefix_of("default" if choice.settled else encoder, inner.values())
    named, fates, dropped = _rename(entry, opened.tensors, inner, arch, prefix)
    inside = {key: opened.tensors[key] for key in dropped if entry.has_place_of(inner.get(key, ""), prefix)}
    dropped |= _zeros(inside, weights)
    if twice := [name for name, sources in _sources(fates).items() if len(sources) > 1]:
        first = ", ".join(_sources(fates)[twice[0]])
        raise UserError(
            f"{weights} holds {len(twice)} tensors twice with other values, the first as {first}; keep one "
            "network in the file"
        )
    tensors, changed = _as_float32(named, weights, whole_numbers(arch) if arch else frozenset())
    if entry.completed is not None:
        tensors, words = entry.completed(tensors)
        changed += words
    return tensors, Renamed(entry, entry is TIMM_NAMES, tuple(inner.values()), fates, dropped, changed)


def _zeros(unplaced: dict[str, Tensor], weights: Path) -> dict[str, str]:
    """Return why tensors inside the backbone that no network of mmbench has can be dropped.

    Raises:
        UserError: one is not a bias of zeros, so the file's network computes something else.
    """
    for key, tensor in unplaced.items():
        if not key.endswith(("bias", "_b")) or _unfit(tensor, False) is not None or tensor.any():
            raise UserError(
                f"{weights}: {key} lies inside the backbone, and no network that mmbench builds has it; the "
                "file is of another network, such as one with deformable convolutions"
            )
    return dict.fromkeys(unplaced, "a bias of zeros")


def unchanged_names(
    stored: dict[str, Tensor], dropped: dict[str, str], library: str, source: Path
) -> tuple[dict[str, Tensor], Renamed]:
    """Return the tensors of a network of timm under the names that they have, and how they were read.

    Args:
        dropped: name of what was left out -> what it is.
        library: that the weights are of.
        source: for messages.

    Raises:
        UserError: tensors that cannot be weights.
    """
    numbers = {name: tensor for name, tensor in stored.items() if tensor.is_floating_point()}
    converted, changed = _as_float32(numbers, source)  # what is left are tables of indices and counters
    tensors = {name: converted.get(name, tensor) for name, tensor in stored.items()}
    fates = [_fate(name, name, tensor) for name, tensor in stored.items()]
    return tensors, Renamed(Format(library, prefix=""), True, tuple(stored), fates, dict(dropped), changed)


def _fate(source: str, canonical: str, tensor: Tensor) -> TensorFate:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return TensorFate(source=source, canonical=canonical, shape=tuple(tensor.shape), dtype=dtype)


def _rename(
    entry: Format, stored: dict[str, Tensor], inner: dict[str, str], arch: str | None, prefix: str
) -> tuple[dict[str, Tensor], list[TensorFate], dict[str, str]]:
    """Return tensors under torchvision's names, each one's fate, and what was dropped and why.

    Where two of other values get one name, both have a fate, and neither is right.
    """
    wanted = wanted_shapes(arch) if arch else {}
    named: dict[str, Tensor] = {}
    fates: list[TensorFate] = []
    dropped: dict[str, str] = {}
    for key, tensor in stored.items():
        bare = inner.get(key)
        if bare is None:
            dropped[key] = "not part of the network that was taken"
            continue
        name, why = entry.fate(bare, prefix)
        if name is None and wanted and bare in wanted:
            name = bare
        if name is not None and arch and name not in wanted and _is_classifier(name, arch):
            name, why = None, CLASSIFIER
        if name is None:
            dropped[key] = why
            continue
        if name in named and _equal(named[name], tensor):
            dropped[key] = f"equal to another that is read as {name}"
            continue
        named[name] = tensor
        fates.append(_fate(key, name, tensor))
    return named, fates, dropped


def _is_classifier(name: str, arch: str) -> bool:
    """Return whether a tensor beside the headless network's is of a classifier, timm's or another one's."""
    return name.startswith(("head.", "classifier.")) or name in with_classifier(arch)


def _sources(fates: list[TensorFate]) -> dict[str, list[str]]:
    """Return torchvision's name -> the stored names that became it."""
    found: dict[str, list[str]] = {}
    for fate in fates:
        found.setdefault(fate.canonical, []).append(fate.source)
    return found


def _equal(one: Tensor, two: Tensor) -> bool:
    """Return whether two tensors hold the same; False where that cannot be told."""
    dense = all(t.layout == torch.strided and not t.is_meta for t in (one, two))
    return dense and one.dtype == two.dtype and one.shape == two.shape and torch.equal(one, two)


def _as_float32(
    tensors: dict[str, Tensor], path: Path, whole: frozenset[str] = frozenset()
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors in float32 (counters stay whole numbers), and a line per kind of change.

    Args:
        whole: names of further tensors that may hold whole numbers, which stay as they are.

    Raises:
        UserError: a tensor holds NaN or infinity, or is not a dense array of real numbers.
    """
    counts: dict[str, int] = {}
    converted = {}
    for name, tensor in tensors.items():
        counter = name.endswith(COUNTER)
        if (kind := _unfit(tensor, counter or name in whole)) is not None:
            raise UserError(f"{path}: tensor {name} {kind}; save dense tensors of real numbers")
        if counter and tensor.numel() != 1:
            raise UserError(f"{path}: counter {name} holds {tensor.numel()} numbers in place of one")
        # A sum shows every NaN and infinity at a fifth of the price, and only seldom more than there is.
        if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
            raise UserError(
                f"{path}: tensor {name} holds NaN or infinity; the training that wrote this file diverged"
            )
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            counts[str(tensor.dtype)] = counts.get(str(tensor.dtype), 0) + 1
            tensor = tensor.float()
        elif counter:
            tensor = tensor.to(torch.int64).reshape(())
        converted[name] = tensor.detach().contiguous()  # what is saved as a Parameter would learn
    return converted, [f"{count} tensors from {dtype} to float32" for dtype, count in counts.items()]


def _unfit(tensor: Tensor, may_be_whole: bool) -> str | None:
    """Return why a tensor cannot be a weight, None where it can.

    Args:
        may_be_whole: whether it may hold whole numbers: a counter, or a table of indices.
    """
    if tensor.layout != torch.strided:
        return "is sparse"
    if tensor.is_meta:
        return "has no values (it was saved from torch's meta device)"
    if tensor.numel() > MOST_REPEATED and tensor.nbytes > tensor.untyped_storage().nbytes():
        held = tensor.untyped_storage().nbytes()
        return (
            f"of shape {tuple(tensor.shape)} repeats {held} stored bytes {tensor.nbytes / 2**30:.3g} GiB long"
        )
    real = tensor.dtype in FLOATS  # those of 8 bits go with a scale that lies elsewhere
    if not real and (tensor.is_floating_point() or tensor.is_complex() or not may_be_whole):
        return f"is {str(tensor.dtype).removeprefix('torch.')}"
    return None
