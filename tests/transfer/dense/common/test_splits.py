"""Which images a dense run uses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from running import make_run

from mmbench.checkpoints.backbone import random_backbone
from mmbench.data import Dataset, Scenes
from mmbench.data.types import Split
from mmbench.errors import UserError
from mmbench.transfer.dense.common.splits import draw_subset, scene_splits
from mmbench.transfer.job import TransferJob

Make = Callable[..., TransferJob]


@pytest.fixture
def job(tmp_path: Path) -> Make:
    """Make a job of one protocol's split and a seed, on scenes that nothing reads."""
    dataset = Dataset("any", tmp_path, ("a",), {}, 32, Scenes(tmp_path, ("a",)))
    backbone = random_backbone("mixmask_resnet8", 0)

    def make(split: str = "test", seed: int = 0) -> TransferJob:
        run = make_run("segmentation", backbone, dataset, seed=seed)
        protocol = run.protocol.model_copy(update={"split": split})
        return TransferJob(replace(run, task=run.task._replace(protocol=protocol)), tmp_path)

    return make


def images(scenes: Scenes, split: Split) -> int:
    return {"train": 50, "val": 7, "test": 9}[split]


@given(total=st.integers(1, 200), count=st.integers(1, 200), seed=st.integers(0, 2**63 - 1))
def test_a_subset_is_drawn_by_the_seed(total: int, count: int, seed: int) -> None:
    drawn = draw_subset(total, count, seed)
    assert drawn == draw_subset(total, count, seed)
    assert drawn == sorted(set(drawn))
    assert len(drawn) == min(total, count)
    assert set(drawn) <= set(range(total))


def test_the_draw_of_published_records_stays() -> None:
    """Another draw would change numbers: the first indices of a permutation, in rising order."""
    order = torch.randperm(50, generator=torch.Generator().manual_seed(3)).tolist()
    assert draw_subset(50, 10, seed=3) == sorted(order[:10]) != draw_subset(50, 10, seed=4)


def test_sizes_are_those_of_the_images_that_are_used(job: Make) -> None:
    whole = scene_splits(job("val"), None, images)
    assert (whole.evaluated, whole.subset, whole.sizes) == ("val", None, {"train": 50, "val": 7})
    part = scene_splits(job(seed=4), 10, images)
    assert (part.subset, part.sizes) == (draw_subset(50, 10, 4), {"train": 10, "test": 9})
    assert scene_splits(job(), 50, images).subset is None
    assert scene_splits(job(), 51, images).sizes == {"train": 50, "test": 9}


def test_an_unknown_split_is_refused(job: Make) -> None:
    with pytest.raises(UserError, match="segmentation/patterns@1 evaluates the unknown split 'dev'"):
        scene_splits(job("dev"), None, images)
