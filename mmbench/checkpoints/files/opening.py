"""Open a checkpoint file safely: tensors and plain containers, never code."""

from __future__ import annotations

import contextlib
import json
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmbench.checkpoints.files.harmless import HARMLESS, STANDS_IN_FOR, stand_ins
from mmbench.checkpoints.files.pickled_arrays import load_arrays
from mmbench.checkpoints.format import Encoder
from mmbench.checkpoints.places import kind_of
from mmbench.checkpoints.tensors.choosing import Choice, choose
from mmbench.errors import UserError
from mmbench.verification import check_zip

OPTIMISER, SCHEDULE, PRECISION = "optimiser", "learning-rate schedule", "state of mixed precision"
BESIDE = {
    "optimizer": OPTIMISER,
    "optimizer_states": OPTIMISER,
    "scheduler": SCHEDULE,
    "lr_scheduler": SCHEDULE,
    "lr_schedulers": SCHEDULE,
    "scaler": PRECISION,
    "amp": PRECISION,
    "callbacks": "state of Lightning's callbacks",
    "loops": "state of Lightning's loops",
    "message_hub": "log of mmengine's runner",
}
GLOBAL = re.compile(r"GLOBAL (\S+)")  # how torch names a class that it refuses


@dataclass(frozen=True)
class Stored:
    """All that a file holds.

    Attributes:
        path: the file, for messages.
        content: tensors and plain containers, as they were read.
        metadata: of a safetensors file.
    """

    path: Path
    content: Any
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Opened:
    """The weights of a file.

    Attributes:
        tensors: by their stored names.
        facts: numbers and strings beside them.
        content: all that the file holds, as it was read.
        choice: which set of weights the tensors are, and which others there were.
        beside: name of what lies beside the weights and is left -> what it is.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    content: Any
    choice: Choice
    beside: dict[str, str] = field(default_factory=dict)


def open_checkpoint(path: Path, encoder: Encoder = "default", weights: str | None = None) -> Opened:
    """Return the weights of a file whose architecture is not stated; see `stored_in` and `weights_of`."""
    return weights_of(stored_in(path), encoder, weights)


def stored_in(path: Path) -> Stored:
    """Return all that a file holds.

    The content distinguishes safetensors files, torch files (read with `weights_only=True`) and plain pickles
    of numpy arrays.

    Raises:
        UserError: missing, empty, truncated, not a checkpoint, or a file that would execute code.
    """
    kind = kind_of(path)
    if kind == "safetensors":
        tensors, metadata = _load_safetensors(path)
        return Stored(path, tensors, metadata)
    return Stored(path, load_arrays(path) if kind == "arrays" else _load_torch(path))


def _load_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as stream:
            metadata = dict(stream.metadata() or {})
            return {name: stream.get_tensor(name) for name in stream.keys()}, metadata  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise UserError(f"{path} is damaged safetensors ({_first_line(error)}); get it again") from None


def _load_torch(path: Path) -> Any:
    with ThreadPoolExecutor(1) as thread:
        undamaged = thread.submit(check_zip, path)  # torch.load compares no checksum
        try:
            return _loaded(path)
        finally:
            undamaged.result()  # what it raises says more than what the damage did to torch


def _loaded(path: Path) -> Any:
    """Return what torch reads from a file.

    Raises:
        UserError: it holds classes that are not harmless, or cannot be read.
    """
    try:
        try:
            return _load_with(path, [])
        except pickle.UnpicklingError:  # of most files, all names are known: listing them costs a reading
            return _load_with(path, _foreign_names(path))
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error).lower() or "unsupported" in str(error).lower():
            named = GLOBAL.search(str(error))
            raise UserError(
                f"{path} holds Python objects {f'({named[1]}) ' if named else ''}that would run code when "
                "they are read, so it is refused; save its state_dict alone, with "
                "torch.save(model.state_dict(), ...), where you trust it"
            ) from None
        raise UserError(f"{path} is not a torch checkpoint ({_first_line(error)})") from None
    except Exception as error:
        # Broken bytes can end anywhere in torch's unpickler (TypeError, AssertionError, struct.error ...);
        # which one says no more than that the file is broken.
        raise UserError(
            f"{path} cannot be read as a torch checkpoint ({_first_line(error)}); "
            "it may be truncated, or a zip file of something else: get it again"
        ) from None


def _load_with(path: Path, names: list[str]) -> Any:
    """Return what torch reads, with stand-ins for the classes of these names."""
    # An open file, since torch takes a path's ending for its format.
    with path.open("rb") as stream, torch.serialization.safe_globals([*HARMLESS, *stand_ins(names)]):
        return torch.load(stream, map_location="cpu", weights_only=True)


def _foreign_names(path: Path) -> list[str]:
    """Return the classes that a torch file names and torch does not know, without building any of them."""
    with (
        contextlib.suppress(Exception),
        path.open("rb") as stream,
    ):  # a broken file is reported when it is read
        return list(torch.serialization.get_unsafe_globals_in_checkpoint(stream))
    return list(STANDS_IN_FOR)  # of files before torch 1.6, whose names cannot be listed


def weights_of(
    stored: Stored, encoder: Encoder = "default", weights: str | None = None, arch: str | None = None
) -> Opened:
    """Return the tensors of the set that is chosen, wherever it lies, and the plain facts beside it.

    Args:
        encoder: which of several networks; those inside one set are distinguished by a format's names.
        weights: name of the set of weights to take, where there are several; see `choosing.choose`.
        arch: timm name of the architecture, where it is stated.

    Raises:
        UserError: not a dictionary of weights, or no such set of weights in it.
    """
    content, path = stored.content, stored.path
    if not isinstance(content, dict | list | tuple):
        raise UserError(f"{path} holds a {type(content).__name__}, not a dictionary of weights")
    if isinstance(content, list | tuple) and not any(isinstance(part, dict) for part in content):
        raise UserError(f"{path} holds a {type(content).__name__}, not a dictionary of weights")
    choice = choose(content, path, encoder, weights, arch)
    facts: dict[str, Any] = dict(stored.metadata)
    beside: dict[str, str] = {}
    if isinstance(content, dict):
        facts |= {str(key): value for key, value in content.items() if isinstance(value, str | int | float)}
        if choice.taken.place:
            beside = {
                str(key): BESIDE.get(str(key), "beside the weights")
                for key, value in content.items()
                if str(key) != choice.taken.place[0] and str(key) not in facts and value is not None
            }
    for other in choice.sets:
        if other is not choice.taken and other.place != choice.taken.place:
            kind = {"online": "online network", "momentum": "moving average", "": "another set of weights"}
            beside.pop(other.place[0] if other.place else "", None)
            beside[other.name] = f"{kind[other.role]}; --weights {other.name} takes it"
    return Opened(choice.taken.tensors, facts, content, choice, beside)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
