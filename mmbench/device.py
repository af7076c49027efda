"""Choice of the device, and whether it supports bfloat16."""

from __future__ import annotations

import torch

from mmbench.errors import UserError, one_line, shown

NO_BFLOAT16 = "computed in float32: this CPU has no bfloat16"  # note of records that asked for bfloat16


def device_name(device: object) -> str:
    """Return an argument from Python as the name of a device; a `torch.device` has one.

    Raises:
        UserError: it is neither.
    """
    if not isinstance(device, str | torch.device):
        raise UserError(f"device = {shown(device)}: must be 'auto', 'cpu', 'cuda' or 'cuda:N'")
    return str(device)


def resolve_device(name: str) -> torch.device:
    """Return the torch device; "auto" is the GPU where there is one.

    Raises:
        UserError: the device is not available.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = one_line(str(error).splitlines()[0])
        raise UserError(
            f"device '{one_line(str(name))}' cannot be used: {reason}; use --device auto or cpu"
        ) from None
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Return whether this device runs convolutions in bfloat16 at a useful speed.

    Of CPUs those with AVX-512, or arm64 with bfloat16. On others torch falls back to plain loops: on an AMD
    EPYC with AVX2 pretraining was 17 times slower in bfloat16 than in float32.
    """
    if device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return True
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("bf16"))


def bfloat16_autocast(device: torch.device, wanted: bool) -> torch.autocast:
    """Return an autocast context: bfloat16 if it is wanted and the device supports it, else float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and has_bfloat16(device))
