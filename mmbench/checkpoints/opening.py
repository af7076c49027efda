"""Open a file that is said to be a checkpoint, safely: tensors and plain containers, never code."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmbench.checkpoints.format import Encoder
from mmbench.checkpoints.harmless import HARMLESS
from mmbench.checkpoints.pickled_arrays import load_arrays
from mmbench.checkpoints.stored_arrays import as_tensor
from mmbench.errors import UserError

# Where training scripts put the weights inside what they save, tried in this order: VISSL's is the deepest,
# Caffe2's the shortest. DINO saves both networks, and evaluates the teacher unless told otherwise.
CONTAINERS = (
    ("state_dict",),
    ("model",),
    ("model_state",),
    ("model_state_dict",),
    ("classy_state_dict", "base_model", "model", "trunk"),
    ("blobs",),
)
TEACHER, STUDENT = ("teacher",), ("student",)
# A moving average of the whole model, beside it: timm's, mmengine's, DeiT's scripts'.
AVERAGES = (("state_dict_ema",), ("ema_state_dict",), ("model_ema",))
OPTIMISER, SCHEDULE, PRECISION = "optimiser", "learning-rate schedule", "state of mixed precision"
BESIDE = {
    "optimizer": OPTIMISER,
    "optimizer_states": OPTIMISER,
    "scheduler": SCHEDULE,
    "lr_scheduler": SCHEDULE,
    "lr_schedulers": SCHEDULE,
    "scaler": PRECISION,
    "amp": PRECISION,
    "student": "student network",
    "teacher": "teacher network",
    **{name: "moving average of the model" for (name,) in AVERAGES},
}
ZIP, PICKLE = b"PK\x03\x04", b"\x80"
BYTE_ORDER_MARK, LFS_POINTER = b"\xef\xbb\xbf", b"version https://git-lfs"
LEGACY_TORCH = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # torch.save's magic number before version 1.6


@dataclass(frozen=True)
class Opened:
    """What a file holds.

    Attributes:
        tensors: by their stored names.
        facts: numbers and words beside them.
        beside: name of what lies beside the weights and is left -> what it is.
        settled: whether the wanted one of two encoders lay in a container of its own, so that these tensors
            are its alone.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    beside: dict[str, str] = field(default_factory=dict)
    settled: bool = False


def open_checkpoint(path: Path, encoder: Encoder = "default") -> Opened:
    """Return what a file holds.

    safetensors files, torch files (read with `weights_only=True`) and plain pickles of numpy arrays are told
    apart by their content.

    Args:
        encoder: which of two networks in containers of their own; others are told apart by their names.

    Raises:
        UserError: missing, empty, truncated, not a checkpoint, or a file that would execute code.
    """
    if path.is_dir():
        raise UserError(
            f"{path} is a folder, but neither a run folder nor a timm folder "
            "(no model.safetensors in it); name a checkpoint file"
        )
    if not path.is_file():
        raise UserError(f"no checkpoint at {path}; check the path")
    with path.open("rb") as stream:
        start = stream.read(512)
    if not start:
        raise UserError(f"{path} is empty; download or save it again")
    if start.removeprefix(BYTE_ORDER_MARK).lstrip()[:1] == b"<":
        raise UserError(f"{path} is a web page, not a checkpoint; download the file itself, not its page")
    if start.startswith(LFS_POINTER):
        raise UserError(f"{path} is a pointer of Git LFS, not the file itself; run `git lfs pull` beside it")
    if start[:1] == PICKLE and LEGACY_TORCH not in start[:16]:
        return _weights(load_arrays(path), path, encoder)
    if start[:4] == ZIP or start[:1] == PICKLE:
        return _weights(_load_torch(path), path, encoder)
    if start[8:9] == b"{":
        return _open_safetensors(path)
    raise UserError(f"{path} is no checkpoint: neither a torch file nor a safetensors file")


def _open_safetensors(path: Path) -> Opened:
    try:
        with safe_open(path, framework="pt") as stream:
            facts = dict(stream.metadata() or {})
            return Opened({name: stream.get_tensor(name) for name in stream.keys()}, facts)  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise UserError(f"{path} is damaged safetensors ({_first_line(error)}); get it again") from None


def _load_torch(path: Path) -> Any:
    try:
        # An open file, since torch takes a path's ending for its format.
        with path.open("rb") as stream, torch.serialization.safe_globals(HARMLESS):
            return torch.load(stream, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error).lower() or "unsupported" in str(error).lower():
            raise UserError(
                f"{path} holds Python objects that would run code when they are read, so it is refused; "
                "save its state_dict alone, with torch.save(model.state_dict(), ...), where you trust it"
            ) from None
        raise UserError(f"{path} is no torch checkpoint ({_first_line(error)})") from None
    except Exception as error:
        # Broken bytes can end anywhere in torch's unpickler (TypeError, AssertionError, struct.error ...);
        # which one says no more than that the file is broken.
        raise UserError(
            f"{path} cannot be read as a torch checkpoint ({_first_line(error)}); "
            "it may be truncated, or a zip file of something else: get it again"
        ) from None


def _weights(content: Any, path: Path, encoder: Encoder) -> Opened:
    """Return the tensors of what was read, wherever they lie, and the plain facts beside them."""
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not a dictionary of weights")
    facts = {key: value for key, value in content.items() if isinstance(value, str | int | float)}
    both = (STUDENT, TEACHER) if encoder == "online" else (TEACHER, STUDENT)
    averages = AVERAGES if encoder == "momentum" else ()
    whole, settled, beside = content, False, {}
    for place in (*averages, *CONTAINERS, *both, *AVERAGES):
        inside = _inside(content, place)
        if inside is not None:
            content, settled = inside, place in (*averages, *both)
            beside = {
                str(key): BESIDE.get(str(key), "beside the weights")
                for key, value in whole.items()
                if key != place[0] and key not in facts and value is not None
            }
            break
    try:
        found = {str(key): as_tensor(value) for key, value in content.items()}
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    tensors = {name: tensor for name, tensor in found.items() if tensor is not None}
    if not tensors:
        raise UserError(f"{path} holds no tensors; is it an optimiser or a settings file?")
    return Opened(tensors, facts, beside, settled)


def _inside(content: Any, place: tuple[str, ...]) -> dict[Any, Any] | None:
    """Return the dictionary at a path of keys, or None."""
    for name in place:
        content = content.get(name) if isinstance(content, dict) else None
    return content if isinstance(content, dict) else None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
