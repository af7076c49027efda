"""mmbench: does this pretraining transfer?

Importing this package makes the `mixmask_*` backbones known to timm, without importing timm:
if timm is already there they are registered at once, otherwise at the moment timm is imported.
The functions of the Python API are imported at their first use, so this import is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from mmbench.registration import register_with_timm
from mmbench.version import __version__

if TYPE_CHECKING:
    from mmbench.checkpoints.card import Preprocessing
    from mmbench.checkpoints.conversion import convert_checkpoint
    from mmbench.checkpoints.reading import load_backbone
    from mmbench.leaderboard.dataframe import build_leaderboard
    from mmbench.pretrain.api import run_pretraining
    from mmbench.transfer.encoder import Encoder
    from mmbench.transfer.evaluation import evaluate

# name -> module that defines it
_API = {
    "Encoder": "mmbench.transfer.encoder",
    "Preprocessing": "mmbench.checkpoints.card",
    "build_leaderboard": "mmbench.leaderboard.dataframe",
    "convert_checkpoint": "mmbench.checkpoints.conversion",
    "evaluate": "mmbench.transfer.evaluation",
    "load_backbone": "mmbench.checkpoints.reading",
    "run_pretraining": "mmbench.pretrain.api",
}

register_with_timm()

__all__ = [
    "Encoder",
    "Preprocessing",
    "__version__",
    "build_leaderboard",
    "convert_checkpoint",
    "evaluate",
    "load_backbone",
    "run_pretraining",
]


def __getattr__(name: str) -> Any:
    """Import a name of the Python API."""
    if name not in _API:
        raise AttributeError(f"module 'mmbench' has no attribute '{name}'")
    return getattr(importlib.import_module(_API[name]), name)


def __dir__() -> list[str]:
    """Return the names of the Python API."""
    return sorted(__all__)
