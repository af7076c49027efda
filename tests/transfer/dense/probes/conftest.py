"""Tiny scenes with ignored pixels, and a backbone for them."""

from __future__ import annotations

import pytest
from small_scenes import CLASSES, SIZE, render

from mmbench.checkpoints.backbone import Backbone, random_backbone
from mmbench.checkpoints.card import Preprocessing
from mmbench.data import Dataset


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """12 training, 6 val and 6 test images of 32 px."""
    root = tmp_path_factory.mktemp("outlined")
    counts = {"train": 12, "val": 6, "test": 6}
    return Dataset("outlined", root, CLASSES, {}, SIZE, render(root, counts))


@pytest.fixture(scope="session")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Images of two sizes."""
    root = tmp_path_factory.mktemp("uneven")
    return Dataset("uneven", root, CLASSES, {}, SIZE, render(root, {"train": 6, "test": 4}, (SIZE, 40)))


@pytest.fixture(scope="session")
def small() -> Backbone:
    return random_backbone("mixmask_resnet8", 0, Preprocessing(image_size=SIZE))
