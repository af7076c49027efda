"""Intervals by the bootstrap over images: how often they hold the truth, and against resampling by a loop."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from mmbench.transfer import bootstrap
from mmbench.transfer.bootstrap import image_intervals
from mmbench.transfer.dense.common.pixel_outcomes import metrics_of


def population(images: int, seed: int = 0) -> NDArray[np.int64]:
    """Counts (images, 4, 4) of images that differ in classes, sizes and difficulty."""
    rng = np.random.default_rng(seed)
    shown = rng.random((images, 4)) < 0.7
    shown[:, 0] = True
    labelled = (shown * rng.lognormal(5, 1, (images, 4))).astype(np.int64) + shown
    right = (labelled * rng.beta(4, 2, (images, 1)) * rng.beta(6, 1.5, (images, 4))).astype(np.int64)
    wrong = (labelled - right).sum(axis=1, keepdims=True) * rng.dirichlet(np.full(4, 0.3), images)
    predicted = right + wrong.astype(np.int64)
    return np.stack([right, labelled + predicted - right, labelled, predicted], axis=1)


def test_95_percent_of_intervals_hold_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "RESAMPLES", 400)
    everything = population(20_000)
    truth = metrics_of(everything.sum(axis=0))
    rng = np.random.default_rng(1)
    runs, held = 150, np.zeros(3)
    for seed in range(runs):
        drawn = everything[rng.integers(len(everything), size=100)]
        for place, interval in enumerate(image_intervals(drawn, metrics_of, seed)):
            assert interval is not None
            held[place] += interval[0] <= truth[place] <= interval[1]
    # At a probability of 0.95, fewer than 132 of 150 would be a case of one in a thousand or less.
    assert (held >= 132).all(), held
    assert (held < runs).all(), "never wrong would be too wide"


def test_the_interval_is_bca_as_in_efrons_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the sums of each resample and of each jackknife by a loop."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 4000)
    counts = population(30, seed=4)
    found = image_intervals(counts, metrics_of, seed=0)
    rng = np.random.default_rng(9)
    values = np.array([metrics_of(counts[rng.integers(30, size=30)].sum(axis=0)) for _ in range(4000)])
    left_out = np.array([metrics_of(np.delete(counts, index, axis=0).sum(axis=0)) for index in range(30)])
    value = metrics_of(counts.sum(axis=0))
    for place, interval in enumerate(found):
        bias = norm.ppf(np.mean(values[:, place] < value[place]))
        apart = left_out[:, place].mean() - left_out[:, place]
        skew = (apart**3).sum() / (6 * (apart**2).sum() ** 1.5)
        ends = [norm.cdf(bias + (bias + z) / (1 - skew * (bias + z))) for z in norm.ppf([0.025, 0.975])]
        low, high = np.quantile(values[:, place], ends)
        assert interval == pytest.approx((low, high), abs=0.06 * (high - low)), "other resamples"


def test_many_images_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = population(50)
    whole = image_intervals(counts, metrics_of, seed=3)
    monkeypatch.setattr(bootstrap, "KINDS_AT_ONCE", 50 * 7)
    assert image_intervals(counts, metrics_of, seed=3) == whole


def test_a_metric_that_never_varies_has_no_interval() -> None:
    counts = population(25)
    counts[:, 1] = counts[:, 2] = counts[:, 3] = counts[:, 0] = counts[:, 2]
    assert image_intervals(counts, metrics_of, seed=0) == [None] * 3
