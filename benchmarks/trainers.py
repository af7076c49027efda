"""A pretraining in memory, as the benchmarks of the step time it."""

from __future__ import annotations

from mmbench.data import Dataset
from mmbench.pretrain.acceleration import make_accelerator
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.sources.opening import open_source
from mmbench.pretrain.trainer import Trainer, build_framework

BATCH = 128  # of the recipes


def trainer(method: str, arch: str, dataset: Dataset, *overrides: str) -> Trainer:
    """Return a trainer on the CPU, with more epochs than a benchmark takes."""
    config = resolve_config(method, arch=arch, epochs=50, device="cpu", overrides=overrides)
    accelerator = make_accelerator(config)
    source = open_source(config, dataset, accelerator.device)
    return Trainer(config, build_framework(config), source, accelerator)
