"""A small data set of gratings in memory, and backbones to transfer to it."""

from __future__ import annotations

import functools
import math
import sys
from pathlib import Path

import pytest
import torch

from mmbench.checkpoints.backbone import Backbone, random_backbone
from mmbench.checkpoints.card import Preprocessing
from mmbench.data import Dataset, ImageSplit

sys.path.insert(0, str(Path(__file__).parent))  # running, two_probes

CLASSES = 6
STORED, FED = 20, 16
PER_CLASS = {"train": 20, "val": 10, "test": 10}


def render_gratings(split: str) -> ImageSplit:
    """Gratings of six orientations with random phase, period and noise, sorted by class as folders are."""
    count = PER_CLASS[split] * CLASSES
    generator = torch.Generator().manual_seed(list(PER_CLASS).index(split))
    labels = torch.arange(CLASSES).repeat_interleave(PER_CLASS[split])
    angle = (labels * math.pi / CLASSES).view(-1, 1, 1)
    phase, period, shade = torch.rand((3, count, 1, 1), generator=generator)
    rows, columns = torch.meshgrid(torch.arange(STORED), torch.arange(STORED), indexing="ij")
    along = rows * angle.sin() + columns * angle.cos()
    wave = torch.sin(2 * math.pi * (along / (4 + 2 * period) + phase))
    images = 128 + (60 + 40 * shade) * wave
    images = images.unsqueeze(1) + 12 * torch.randn((count, 3, STORED, STORED), generator=generator)
    return ImageSplit(images.clamp(0, 255).to(torch.uint8), labels)


def make_gratings() -> Dataset:
    """Return a fresh data set: what one test decodes or counts does not reach another."""
    names = tuple(f"{180 * index // CLASSES} degrees" for index in range(CLASSES))
    splits = {split: functools.partial(render_gratings, split) for split in PER_CLASS}
    return Dataset("gratings", Path("gratings"), names, splits, FED)


@pytest.fixture(scope="session")
def gratings() -> Dataset:
    return make_gratings()


@pytest.fixture
def backbone() -> Backbone:
    return random_backbone("mixmask_resnet8", 0, Preprocessing(image_size=FED))
