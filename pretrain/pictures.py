"""Pictures of a run: what the network is shown, and how the loss went."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmbench.pretrain.trainer import Trainer


def draw_views(trainer: Trainer, path: Path) -> None:
    """x"""


def draw_curves(metrics: Path, path: Path, title: str) -> None:
    """x"""
