"""Which device computes, and whether it computes in bfloat16."""

from __future__ import annotations

import torch

from mmbench.errors import UserError

NO_BFLOAT16 = "computed in float32: this CPU has no bfloat16"  # for records that were to be in bfloat16


def resolve_device(name: str) -> torch.device:
    """Return the torch device; "auto" is the GPU where there is one.

    Raises:
        UserError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device '{name}' cannot be used: {reason}; use --device auto or cpu") from None
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Return whether convolutions in bfloat16 are worth their while on this device.

    On a CPU that takes AVX-512, or arm64 with bfloat16. Elsewhere torch has only plain loops for them: on an
    AMD EPYC with AVX2 pretraining was 17 times slower in bfloat16 than in float32.
    """
    if device.type != "cpu" or torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return True
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("bf16"))


def bfloat16_autocast(device: torch.device, wanted: bool) -> torch.autocast:
    """Return a context in bfloat16, where that is wanted and the device has it; else in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and has_bfloat16(device))
