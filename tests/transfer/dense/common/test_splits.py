"""Which images a dense run uses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmbench.data import Dataset, Scenes
from mmbench.transfer.dense.common.splits import dense_splits, draw_subset


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


def test_a_run_uses_the_images_that_are_drawn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in {"train": 8, "val": 2, "test": 3}.items():
        for folder, shape in (("images", (4, 6, 3)), ("segmentation", (4, 6))):
            (tmp_path / folder / split).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 256 if len(shape) == 3 else 2, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / folder / split / f"{number}.png")
    data = Dataset("any", tmp_path, ("a",), {}, 32, Scenes(tmp_path, ("a",))).require_label_maps()
    whole = dense_splits(data, "val", None, 0)
    assert (len(whole.train.images), len(whole.evaluated.images), whole.name) == (8, 2, "val")
    part = dense_splits(data, "test", 3, 4)
    assert part.train.images == tuple(whole.train.images[index] for index in draw_subset(8, 3, 4))
    assert len(part.evaluated.images) == 3
    assert dense_splits(data, "test", 9, 0).train == whole.train
