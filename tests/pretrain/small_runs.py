"""What tests of whole small runs share: settings of a few steps, a trainer, a comparison of weights."""

from typing import Any

import torch
from safetensors.torch import load_file

from mmbench.data import Dataset
from mmbench.pretrain.acceleration import make_accelerator
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.settings import PretrainConfig
from mmbench.pretrain.sources.opening import open_source
from mmbench.pretrain.trainer import Trainer, build_framework
from mmbench.runs import RunFolder

SMALL = ("batch_size=32", "framework.queue=100", "log_every=2")  # 6 steps per epoch; 100 is no multiple of 32


def small(method: str = "mixmask", epochs: int = 2, **more: Any) -> PretrainConfig:
    overrides = (*SMALL, *more.pop("overrides", ()))
    return resolve_config(method, epochs=epochs, device="cpu", threads=1, overrides=overrides, **more)


def make_trainer(config: PretrainConfig, dataset: Dataset) -> Trainer:
    accelerator = make_accelerator(config)
    source = open_source(config, dataset, accelerator.device)
    return Trainer(config, build_framework(config), source, accelerator)


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(folder.weights)


def same(first: RunFolder, second: RunFolder) -> bool:
    ours, theirs = weights(first), weights(second)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
