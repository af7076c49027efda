"""How a transfer computes, apart from what its protocol says: precision, workers, what was asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from mmbench.device import resolve_device
from mmbench.errors import UserError
from mmbench.processes import cores

Precision = Literal["float32", "bfloat16", "float16"]
PRECISIONS: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class Compute:
    """Settings of the machine rather than of the protocol.

    Attributes:
        device: torch device.
        precision: of the backbone's forward pass (and backward, where it is trained), by autocast.
        workers: processes that read images from disk; None means one per core, at most eight.
    """

    device: torch.device
    precision: Precision = "float32"
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.precision == "float16" and self.device.type == "cpu":
            raise UserError("--precision float16 needs a GPU; use bfloat16 or float32 on the CPU")

    @property
    def reading_workers(self) -> int:
        """How many processes read images."""
        return min(8, cores()) if self.workers is None else self.workers

    def autocast(self) -> torch.autocast:
        """Return the context of a forward pass."""
        reduced = self.precision != "float32"
        kind = PRECISIONS[self.precision] if reduced else torch.bfloat16  # disabled, but it must be one
        return torch.autocast(self.device.type, dtype=kind, enabled=reduced)

    def recorded(self) -> dict[str, Any]:
        """Return what of this changes numbers, as settings of a record; nothing where it is the default."""
        return {} if self.precision == "float32" else {"precision": self.precision}


def default_compute() -> Compute:
    """Return float32 on the GPU where there is one, else on the CPU."""
    return Compute(resolve_device("auto"))
