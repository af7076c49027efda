"""Which device computes."""

from __future__ import annotations

import torch

from mmbench.errors import UserError


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
