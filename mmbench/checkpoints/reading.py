"""Read any supported checkpoint into a Backbone: all of it, or an error that says what is missing."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmbench.checkpoints.architecture import differences, recognise, wanted_shapes
from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import ModelCard, Preprocessing
from mmbench.checkpoints.card_file import read_card
from mmbench.checkpoints.containers import describe
from mmbench.checkpoints.format import Encoder, Format
from mmbench.checkpoints.opening import open_checkpoint
from mmbench.checkpoints.options import undetermined, with_network
from mmbench.checkpoints.plain import COUNTER
from mmbench.checkpoints.receipt import Reading, TensorFate
from mmbench.checkpoints.stated import NOTHING_STATED, Stated
from mmbench.checkpoints.weight_sets import WHOLE_FILE, without_prefix
from mmbench.errors import UserError
from mmbench.files import sha256_of
from mmbench.runs import RunFolder


@dataclass(frozen=True)
class ReadCheckpoint:
    """A backbone and how it was read.

    Attributes:
        verified: whether card.json and weights were compared with their digests; False where the card is of
            an older version and has none, None where there is no card.
    """

    backbone: Backbone
    reading: Reading
    facts: dict[str, Any]
    verified: bool | None = None


def read_backbone(path: str | Path, arch: str | None = None) -> Backbone:
    """Return the backbone of a checkpoint; see `read_checkpoint`."""
    return read_checkpoint(path, arch).backbone


def read_checkpoint(
    path: str | Path,
    arch: str | None = None,
    encoder: Encoder = "default",
    stated: Stated = NOTHING_STATED,
) -> ReadCheckpoint:
    """Read a run folder, a timm folder, or a file of any format in `mmbench.checkpoints.formats`.

    The format is told from the keys, the architecture from names and shapes unless `arch` names one.

    Args:
        encoder: "momentum" takes the moving average (MoCo's key encoder, DINO's teacher), "online" the
            encoder that learns by gradient. By default the online one, and of DINO the teacher.

    Raises:
        UserError: no such file, no checkpoint, not the whole backbone, or weights that are not finite.
    """
    path = Path(path)
    weights, card_path, hub_config = _locate(path)
    with ThreadPoolExecutor(1) as thread:  # hashing leaves the other core to the reading
        digest = thread.submit(sha256_of, weights) if weights.is_file() else None
        opened = open_checkpoint(weights, encoder, stated.weights)
    sha256 = digest.result() if digest else ""
    stored, facts = opened.tensors, opened.facts
    if path.is_dir() and not card_path.is_file() and not hub_config.is_file():
        raise UserError(f"{path} has weights but neither card.json nor config.json; name the file itself")
    stored_card = read_card(card_path) if card_path.is_file() else None
    card = stored_card.card if stored_card else None
    verified = stored_card.check_weights(weights, sha256) if stored_card else None
    hub = _hub_config(hub_config) if card is None and hub_config.is_file() else {}
    arch = arch or (card.arch if card else hub.get("architecture"))

    choice = opened.choice
    inner, entry = choice.taken.inner, choice.taken.entry
    if entry is None and arch is None:
        raise UserError(
            f"{weights} is no ResNet checkpoint of a known format (its keys begin "
            f"{', '.join(sorted(stored)[:3])}; it holds: {describe(opened.content)}); "
            "if timm has this network, name it by --arch"
        )
    if entry is None and arch is not None:
        inner = without_prefix(inner, list(wanted_shapes(arch)))
    entry = entry or Format("timm", prefix="")
    prefix = entry.prefix_of("default" if choice.settled else encoder, inner.values())
    named, fates, dropped = _rename(entry, stored, inner, arch, prefix)
    tensors, changed = _as_float32(named, weights)
    if entry.completed is not None:
        tensors, words = entry.completed(tensors)
        changed += words
    what = f"{weights}"
    if arch is None:
        arch = recognise(tensors, what, entry.architectures)
    elif problems := differences(arch, tensors):
        raise UserError(f"{what} does not cover {arch}: {'; '.join(problems)}; check the file and --arch")
    filled = tuple(name for name in wanted_shapes(arch) if name not in tensors)
    tensors |= {name: torch.zeros((), dtype=torch.int64) for name in filled}
    ordered = {name: tensors[name] for name in wanted_shapes(arch)}

    format_name = "run" if card else "timm" if hub or entry is None else entry.exact_name(inner.values())
    card = card or _new_card(path, arch, format_name, entry, facts, hub)
    card = with_network(card.model_copy(update={"arch": arch}), hub, stated.arch_options)
    reading = Reading(
        source=path.name,
        sha256=sha256,
        format=format_name,
        arch=arch,
        tensors=tuple(fates),
        dropped=dropped | opened.beside,
        filled=filled,
        changed=tuple(changed),
        weights="" if choice.taken.name == WHOLE_FILE else choice.taken.name,
        sets=tuple(one.words for one in choice.sets) if len(choice.sets) > 1 else (),
        choice=choice.why,
        assumed=tuple(undetermined(card)),
    )
    backbone = Backbone(arch, ordered, card.model_copy(update={"source_sha256": sha256}))
    return ReadCheckpoint(backbone, reading, facts, verified)


def _locate(path: Path) -> tuple[Path, Path, Path]:
    """Return where weights, our card and timm's config would be."""
    folder = path if path.is_dir() else path.parent
    names = RunFolder(folder)
    weights = names.weights if path.is_dir() and names.weights.is_file() else path
    ours = path.is_dir() or path.name == names.weights.name
    nothing = folder / ".none"
    return weights, names.card if ours else nothing, names.hub_config if ours else nothing


def _hub_config(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        config["architecture"].strip()
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError, UnicodeDecodeError):
        raise UserError(f"{path} is not timm's config.json (no architecture in it)") from None
    return config


def _rename(
    entry: Format, stored: dict[str, Tensor], inner: dict[str, str], arch: str | None, prefix: str
) -> tuple[dict[str, Tensor], list[TensorFate], dict[str, str]]:
    """Return tensors under torchvision's names, each one's fate, and what was dropped and why."""
    wanted = wanted_shapes(arch) if arch else {}
    named: dict[str, Tensor] = {}
    fates: list[TensorFate] = []
    dropped: dict[str, str] = {}
    heads = ("head.", "classifier.")  # of timm's other networks, where --arch names one
    for key, tensor in stored.items():
        bare = inner.get(key)
        if bare is None:
            dropped[key] = "not part of the network that was taken"
            continue
        name, why = entry.fate(bare, prefix)
        if name is None and wanted and bare in wanted:
            name = bare
        if name is not None and wanted and name not in wanted and name.startswith(heads):
            name, why = None, "classifier"
        if name is None:
            dropped[key] = why
            continue
        named[name] = tensor
        dtype = str(tensor.dtype).removeprefix("torch.")
        fates.append(TensorFate(source=key, canonical=name, shape=tuple(tensor.shape), dtype=dtype))
    return named, fates, dropped


def _as_float32(tensors: dict[str, Tensor], path: Path) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors in float32 (counters stay whole numbers), and a line per kind of change.

    Raises:
        UserError: a tensor holds NaN or infinity, or is no dense array of real numbers.
    """
    counts: dict[str, int] = {}
    converted = {}
    for name, tensor in tensors.items():
        if (kind := _unfit(tensor, name.endswith(COUNTER))) is not None:
            raise UserError(f"{path}: tensor {name} {kind}; save dense tensors of real numbers")
        # A sum shows every NaN and infinity at a fifth of the price, and only seldom more than there is.
        if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
            raise UserError(
                f"{path}: tensor {name} holds NaN or infinity; the training of this file broke down"
            )
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            counts[str(tensor.dtype)] = counts.get(str(tensor.dtype), 0) + 1
            tensor = tensor.float()
        elif name.endswith(COUNTER):
            tensor = tensor.to(torch.int64).reshape(())
        converted[name] = tensor.contiguous()
    return converted, [f"{count} tensors from {dtype} to float32" for dtype, count in counts.items()]


# Elements of a tensor that may be fewer stored values, repeated by strides of 0; more would fill the memory.
MOST_REPEATED = 2**20


def _unfit(tensor: Tensor, counter: bool) -> str | None:
    """Return in words why a tensor cannot be a weight, None where it can."""
    if tensor.layout != torch.strided:
        return "is sparse"
    if tensor.is_meta:
        return "has no values (it was saved from torch's meta device)"
    if tensor.numel() > MOST_REPEATED and tensor.nbytes > tensor.untyped_storage().nbytes():
        held = tensor.untyped_storage().nbytes()
        return (
            f"of shape {tuple(tensor.shape)} repeats {held} stored bytes {tensor.nbytes / 2**30:.3g} GiB long"
        )
    if not counter and not tensor.is_floating_point():
        return f"is {str(tensor.dtype).removeprefix('torch.')}"
    return None


def _new_card(
    path: Path,
    arch: str,
    source_format: str,
    entry: Format,
    facts: dict[str, Any],
    hub: dict[str, Any],
) -> ModelCard:
    """Return a card with what the file itself tells."""
    origins = {
        "arch": "names and shapes",
        "preprocessing": "ImageNet mean and std, since the file names none",
    }
    fields: dict[str, Any] = {}
    if entry.preprocessing is not None:
        fields["preprocessing"] = entry.preprocessing
        origins["preprocessing"] = f"every {entry.name} file needs it"
    cfg = hub.get("pretrained_cfg", {})
    if "mean" in cfg and "std" in cfg:
        size = cfg.get("input_size", (3, 224, 224))[-1]
        fields["preprocessing"] = Preprocessing(
            mean=tuple(cfg["mean"]), std=tuple(cfg["std"]), image_size=size
        )
        origins["preprocessing"] = "config.json"
    if entry.method is not None:
        fields |= {"method": entry.method, "framework": entry.method}
        origins["method"] = "the keys of the file"
        if entry.method == "moco":
            origins["method"] += "; MixMask's released files have the same"
    if isinstance(facts.get("epoch"), int):
        fields["epochs"] = facts["epoch"]
        origins["epochs"] = "epoch stored in the file"
        if "pytorch-lightning_version" in facts:
            origins["epochs"] += "; Lightning may count from 0"
    stem = path.name.split(".")[0] or path.resolve().name
    return ModelCard(arm=stem, arch=arch, source_format=source_format, origins=origins, **fields)
