"""What tests of small runs share: data in memory, settings of a few steps, trainers, stops, equal weights."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mmbench.data import Dataset, ImageSplit
from mmbench.pretrain.acceleration import make_accelerator
from mmbench.pretrain.config import resolve_config
from mmbench.pretrain.engine import pretrain
from mmbench.pretrain.session import Requests
from mmbench.pretrain.settings import PretrainConfig
from mmbench.pretrain.sources.opening import open_source
from mmbench.pretrain.trainer import Trainer, build_framework
from mmbench.runs import RunFolder

SMALL = ("batch_size=16", "framework.queue=50", "log_every=2")  # 6 steps per epoch; 50 is no multiple of 16


def make_tiny_dataset(count: int = 96) -> Dataset:
    """Two classes: horizontal and vertical stripes of random colours, 20 px, fed at 16 px."""

    def render() -> ImageSplit:
        generator = torch.Generator().manual_seed(7)
        stripes = (torch.arange(20) // 4 % 2).float().expand(20, 20)
        labels = torch.arange(count) % 2
        pattern = torch.where(labels.view(-1, 1, 1, 1) == 0, stripes, stripes.T)
        ink, paper = torch.rand((2, count, 3, 1, 1), generator=generator)
        images = (pattern * ink + (1 - pattern) * paper) * 255
        return ImageSplit(images.to(torch.uint8), labels)

    return Dataset("stripes", Path("stripes"), ("horizontal", "vertical"), {"train": render}, 16)


def small(method: str = "mixmask", epochs: int = 2, **more: Any) -> PretrainConfig:
    overrides = (*SMALL, *more.pop("overrides", ()))
    return resolve_config(method, epochs=epochs, device="cpu", threads=1, overrides=overrides, **more)


def make_trainer(config: PretrainConfig, dataset: Dataset) -> Trainer:
    accelerator = make_accelerator(config)
    source = open_source(config, dataset, accelerator.device)
    return Trainer(config, build_framework(config), source, accelerator)


def stopped(config: PretrainConfig, out: Path, step: int, dataset: Dataset | None = None) -> None:
    """Train in the folder `out` until a stop is asked for at `step`, as Ctrl-C does."""
    requests = Requests()

    def stop(done: int, total: int, words: str) -> None:
        requests.stop = done == step

    with pytest.raises(KeyboardInterrupt):
        pretrain(config, out, stop, dataset=dataset, requests=requests)


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    return load_file(folder.weights)


def same(first: RunFolder, second: RunFolder) -> bool:
    ours, theirs = weights(first), weights(second)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
