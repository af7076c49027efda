"""Few labels: the draws are fair and nested, and their mean is scikit-learn's."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from running import extract, run_task
from sklearn.linear_model import LogisticRegression

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset, ImageSplit
from mmbench.data.subsets import shots_per_class
from mmbench.errors import UserError
from mmbench.records.store import Result, ResultStore
from mmbench.transfer.inputs.feature_bank import FeatureBank

CPU = torch.device("cpu")


def shuffled(sizes: list[int], seed: int) -> torch.Tensor:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return torch.from_numpy(np.random.default_rng(seed).permutation(labels))


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(6, 30), min_size=1, max_size=5), seed=st.integers(0, 2**32 - 1))
def test_draws_are_balanced_and_more_shots_contain_fewer(sizes: list[int], seed: int) -> None:
    labels = shuffled(sizes, seed % 11)
    smaller: set[int] = set()
    for shots in (1, 2, 3, 6):
        chosen = shots_per_class(labels, shots, seed)
        assert chosen.dtype == torch.int64 and chosen.tolist() == sorted(set(chosen.tolist()))
        assert labels[chosen].bincount(minlength=len(sizes)).tolist() == [shots] * len(sizes)
        assert smaller <= set(chosen.tolist())
        assert torch.equal(chosen, shots_per_class(labels.clone(), shots, seed))
        smaller = set(chosen.tolist())


def test_every_image_is_drawn_about_as_often_as_its_neighbours() -> None:
    labels = torch.arange(2).repeat_interleave(10)
    drawn = torch.cat([shots_per_class(labels, 2, seed) for seed in range(500)]).bincount(minlength=20)
    assert len({tuple(shots_per_class(labels, 5, seed).tolist()) for seed in range(50)}) > 45
    # 500 draws with probability 0.2: 100 on average, a deviation of 9
    assert all(60 < count < 140 for count in drawn.tolist())


def test_a_class_with_too_few_images_is_refused_in_one_line() -> None:
    labels = torch.tensor([0] * 9 + [1] * 3)
    with pytest.raises(
        UserError, match=r"4 labelled images per class asked for, but class 1 has 3; .*--set"
    ) as e:
        shots_per_class(labels, 4, 0)
    assert "\n" not in str(e.value)


def measure(backbone: Backbone, dataset: Dataset, folder: Path, seed: int = 0, **overrides: object) -> Result:
    store, work = ResultStore(folder), folder / "work"
    return run_task("lowshot", backbone, dataset, store, work=work, seed=seed, overrides=dict(overrides))


@pytest.mark.parametrize("seed", [0, 2])
def test_the_mean_over_draws_is_scikit_learns(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, seed: int
) -> None:
    result = measure(backbone, gratings, tmp_path, seed, shots=[1, 4, 16], draws=4)
    train, test = gratings.split("train"), gratings.split("test")
    bank, queries = (extract(backbone, split.images, CPU).double().numpy() for split in (train, test))
    mean, deviation = bank.mean(0), bank.std(0, ddof=1)
    bank, queries = (bank - mean) / deviation, (queries - mean) / deviation
    expected = {}
    for shots in (1, 4, 16):
        shares = []
        for draw in range(4):
            chosen = shots_per_class(train.labels, shots, 4 * seed + draw).numpy()
            model = LogisticRegression(C=1 / (0.01 * len(chosen)), tol=1e-8, max_iter=5000)
            model.fit(bank[chosen], train.labels.numpy()[chosen])
            shares.append(100 * float((model.predict(queries) == test.labels.numpy()).mean()))
        expected[shots] = statistics.mean(shares)
        found = result.metrics[f"top1_{shots}shot"].value
        # Of 240 predictions one may lie so close to a border that float32 decides it otherwise.
        assert found == pytest.approx(expected[shots], abs=100 / 240 + 1e-6)
        assert f"{shots}: {found:.1f} ± " in result.notes[0]
    of_all = statistics.mean(result.metrics[f"top1_{shots}shot"].value for shots in (1, 4, 16))
    assert result.metrics["top1"].value == pytest.approx(of_all, abs=1e-9)
    assert expected[16] > expected[1] > 20  # chance is 17
    assert result.dataset.split_sizes == {"train": 96, "test": 60}
    assert len(result.notes) == 2 and result.notes[1].endswith("mean_per_class; for these draws of labels")


def test_another_seed_draws_other_images(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    first, again, other = (
        measure(backbone, gratings, tmp_path / str(turn), seed, shots=[1], draws=2).metrics["top1"].value
        for turn, seed in enumerate((0, 0, 1))
    )
    assert first == again != other


def test_the_spread_is_that_of_the_draws(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    """Draws one by one, as seeds of a run with a single draw, have the mean and deviation of the note."""
    together = measure(backbone, gratings, tmp_path / "together", 0, shots=[2], draws=3)
    alone = [
        measure(backbone, gratings, tmp_path / "alone", seed, shots=[2], draws=1).metrics["top1"].value
        for seed in range(3)
    ]
    assert f"2: {statistics.mean(alone):.1f} ± {statistics.stdev(alone):.1f}" in together.notes[0]


def test_too_few_images_are_told_before_any_is_looked_at(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    bank = FeatureBank(tmp_path / "bank")
    store, overrides = ResultStore(tmp_path), {"shots": [1, 21]}
    with pytest.raises(UserError, match="21 labelled images per class asked for, but class 0 has 20"):
        run_task("lowshot", backbone, gratings, store, work=tmp_path, overrides=overrides, bank=bank)
    assert bank.computed == 0


def test_a_class_that_train_lacks_is_not_counted(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    def load() -> ImageSplit:
        train = gratings.split("train")
        return ImageSplit(train.images[train.labels != 5], train.labels[train.labels != 5])

    partial = replace(gratings, splits={**gratings.splits, "train": load})
    result = measure(backbone, partial, tmp_path, shots=[3], draws=2)
    assert result.dataset.split_sizes["train"] == 15


def test_fits_that_were_stopped_are_told(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    result = measure(backbone, gratings, tmp_path, shots=[4, 8], draws=2, iterations=2)
    assert result.notes[1] == "4 of 4 fits ended before they had converged"
