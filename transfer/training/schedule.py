"""The learning rate over a training: steps, or a cosine to zero."""

from __future__ import annotations

import math
from typing import Protocol


class Scheduled(Protocol):
    """Settings that say how learning rates change."""

    @property
    def epochs(self) -> int:
        """Passes over train."""

    @property
    def decay_epochs(self) -> tuple[int, ...]:
        """After these epochs the rates are multiplied by `decay_factor`; none means a cosine."""

    @property
    def decay_factor(self) -> float:
        """See `decay_epochs`."""


def rate_factor(step: int, per_epoch: int, settings: Scheduled) -> float:
    """Return what every learning rate is multiplied by at `step` (0-based)."""
    if settings.decay_epochs:
        passed = sum(step // per_epoch >= epoch for epoch in settings.decay_epochs)
        return float(settings.decay_factor**passed)
    return 0.5 * (1 + math.cos(math.pi * step / (settings.epochs * per_epoch)))
