"""The trackers that records are exported to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from mmbench.leaderboard.export.mlflow_store import export_mlflow
from mmbench.leaderboard.export.records import Exported
from mmbench.leaderboard.export.wandb_runs import export_wandb

EXPORTS: Mapping[str, Callable[[pd.DataFrame, Path, str], Exported]] = MappingProxyType(
    {"wandb": export_wandb, "mlflow": export_mlflow}
)
