"""ComputeMeter: adds up the processor or GPU time of a computation, in all of its processes and sessions."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Literal

import torch

from mmbench.compute_time import ComputeTime
from mmbench.distributed import gather


def processor_seconds() -> float:
    """Return the processor time, user and system, of this process and of all that it started.

    Those that still run are counted as well as those that have ended.
    """
    import psutil

    own = psutil.Process()
    total = sum(own.cpu_times()[:4])  # user, system, and both of the ended children
    for child in own.children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has just ended
            total += sum(child.cpu_times()[:4])
    return float(total)


class ComputeMeter:
    """Measures from its creation on.

    Args:
        device: a GPU counts by the time that it is held, whatever it does; otherwise the processor's time
            counts.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.kind: Literal["cpu", "gpu"] = "cpu" if device.type == "cpu" else "gpu"
        self._earlier: float | None = 0.0
        self._start = self._now()

    def _now(self) -> float:
        return processor_seconds() if self.kind == "cpu" else time.perf_counter()

    def go_on(self, stored: dict[str, Any] | None) -> None:
        """Add what earlier sessions used, as `stored` returned it.

        Without it, as in states of older versions, or on another kind of device the sum is unknown.
        """
        same = stored is not None and stored["kind"] == self.kind
        self._earlier = float(stored["seconds"]) if stored is not None and same else None

    def start_again(self) -> None:
        """Leave out what earlier sessions used."""
        self._earlier = 0.0

    def read(self) -> ComputeTime | None:
        """Return the sum over all processes that work together, all of which must ask; None if unknown."""
        used = torch.tensor([self._now() - self._start], dtype=torch.float64, device=self.device)
        total = float(gather(used).sum())
        if self._earlier is None:
            return None
        return ComputeTime(kind=self.kind, seconds=round(self._earlier + total, 3))

    def stored(self) -> dict[str, Any] | None:
        """Return the same for a training state."""
        found = self.read()
        return None if found is None else found.model_dump()
