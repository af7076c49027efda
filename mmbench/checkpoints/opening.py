"""Open a file that is said to be a checkpoint, safely: tensors and plain containers, never code."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mmbench.errors import UserError

# Where training scripts put the weights inside what they save, tried in this order.
CONTAINERS = ("state_dict", "model", "model_state")
ZIP, PICKLE = b"PK\x03\x04", b"\x80"


def open_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a file by their stored names, and what else of plain facts it holds.

    safetensors files and torch files (read with `weights_only=True`) are told apart by their content.

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
    if start.lstrip()[:1] == b"<":
        raise UserError(f"{path} is a web page, not a checkpoint; download the file itself, not its page")
    if start[:4] == ZIP or start[:1] == PICKLE:
        return _open_torch(path)
    if start[8:9] == b"{":
        return _open_safetensors(path)
    raise UserError(f"{path} is no checkpoint: neither a torch file nor a safetensors file")


def _open_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as stream:
            facts = dict(stream.metadata() or {})
            return {name: stream.get_tensor(name) for name in stream.keys()}, facts  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise UserError(f"{path} is damaged safetensors ({_first_line(error)}); get it again") from None


def _open_torch(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
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
    if not isinstance(content, dict):
        raise UserError(f"{path} holds a {type(content).__name__}, not a dictionary of weights")
    facts = {key: value for key, value in content.items() if isinstance(value, str | int | float)}
    for name in CONTAINERS:
        if isinstance(content.get(name), dict):
            content = content[name]
            break
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UserError(f"{path} holds no tensors; is it an optimiser or a settings file?")
    return tensors, facts


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
