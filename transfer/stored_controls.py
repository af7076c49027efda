"""Random weights of the controls in the feature bank, so that a warm bank builds no network."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mmbench.checkpoints.backbone import Backbone, tensors_digest
from mmbench.checkpoints.card import ModelCard
from mmbench.data import Dataset
from mmbench.data.plain_images import plain_images
from mmbench.distributed import process_rank
from mmbench.environment import package_versions, processor_name
from mmbench.files import atomic_path, require_free_space
from mmbench.transfer.controls import recalibrated_random_backbone
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.inputs.features import RESIZE
from mmbench.transfer.inputs.framing import FramingRule
from mmbench.transfer.inputs.images import framing_of
from mmbench.version import __version__

METADATA = "control"  # of safetensors
LAYOUT = 1  # raised when the same facts give other weights


class _DamagedError(Exception):
    """A stored control is not what was written."""


def random_control(
    arch: str,
    seed: int,
    dataset: Dataset,
    high_pass: bool,
    image_size: int | None,
    rule: FramingRule,
    bank: FeatureBank | None,
) -> Backbone:
    """Return what `recalibrated_random_backbone` does, from the bank's folder if it has been there before.

    Weights are stored by everything that they depend on: architecture, seed, images and their framing, the
    versions of the libraries, and the processor and its threads, which the last digits of batch-norm
    statistics depend on. A damaged file is replaced, and the bank's notes say so.
    """
    if bank is None or bank.root is None:
        return recalibrated_random_backbone(arch, seed, dataset, high_pass, image_size, rule)
    images = plain_images(dataset)
    size = image_size or images.image_size
    framing = framing_of(images, "train", size, rule)
    facts: dict[str, Any] = {
        "layout": LAYOUT,
        "arch": arch,
        "seed": seed,
        "high_pass": high_pass,
        "image_size": size,
        "images": [images.name, images.fingerprint],
        "framing": [framing.resized, str(framing)],
        "resize": RESIZE,
        "versions": {"mmbench": __version__, **package_versions()},
        "processor": [processor_name(), torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()],
    }
    address = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
    path = bank.root / f"random-{address}.safetensors"
    try:
        found = _read(path)
    except _DamagedError as damage:
        bank.notes.append(f"random weights were drawn again: {path.name} in the bank {damage}")
        found = None
    if found is None:
        found = recalibrated_random_backbone(arch, seed, dataset, high_pass, image_size, rule)
        if process_rank() == 0:
            _write(path, found)
    return found


def _digest(backbone: Backbone) -> str:
    return tensors_digest(backbone.card.model_dump_json().encode(), backbone.state_dict)


def _write(path: Path, backbone: Backbone) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in backbone.state_dict.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    require_free_space(path.parent, needed, "the feature bank")
    stated = {
        "address": path.stem,
        "card": backbone.card.model_dump_json(),
        "order": list(tensors),
        "sha256": _digest(backbone),
    }
    with atomic_path(path) as temporary:  # one entry, as safetensors writes several in any order
        save_file(tensors, temporary, {METADATA: json.dumps(stated)})


def _read(path: Path) -> Backbone | None:
    """Return a stored control; None if there is none.

    Raises:
        _DamagedError: it differs from what was written.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as stream:
            stated = json.loads((stream.metadata() or {})[METADATA])
            tensors = {name: stream.get_tensor(name) for name in stated["order"]}
        card = ModelCard.model_validate_json(stated["card"])
        found, sound = Backbone(card.arch, tensors, card), (stated["address"], stated["sha256"])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise _DamagedError(f"cannot be read ({type(error).__name__})") from None
    if (path.stem, _digest(found)) != sound:
        raise _DamagedError("is not what was written")
    return found
