"""Intervals of average precision: by loops over copies of images, and how often they hold the mean."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t as student

from mmbench.records.store import Metric
from mmbench.transfer import bootstrap
from mmbench.transfer.average_precision import with_precision_intervals
from mmbench.transfer.bootstrap import standard_errors
from mmbench.transfer.metrics import average_precision, average_precision_11_points
from mmbench.transfer.precision_intervals import precision_intervals

NAMES = ("mAP", "mAP_11_points")


def several_labels(
    rng: np.random.Generator, images: int, classes: int, share: float, signal: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores and labels 1 or 0 (N, classes); the scores of what is there are higher by `signal`."""
    labels = (rng.random((images, classes)) < share).astype(np.int64)
    return torch.from_numpy(rng.normal(size=labels.shape) + signal * labels), torch.from_numpy(labels)


def means(scores: torch.Tensor, labels: torch.Tensor) -> list[float]:
    """mAP and mAP_11_points of the classes that some image shows; NaN where there is none."""
    found = []
    for ranked, there in zip(scores.T, labels.T, strict=True):
        counted = there >= 0
        if (there > 0).any():
            parts = ranked[counted], there[counted] > 0
            found.append([average_precision(*parts), average_precision_11_points(*parts)])
    return [100 * float(value) for value in np.mean(found, axis=0)] if found else [np.nan, np.nan]


def intervals(
    scores: torch.Tensor, labels: torch.Tensor, seed: int = 0
) -> tuple[list[tuple[float, float] | None], str]:
    values = means(scores, labels)
    metrics = {
        name: Metric(value=min(100.0, value), higher_is_better=True, n=len(labels))
        for name, value in zip(NAMES, values, strict=True)
    }
    found, note = with_precision_intervals(metrics, scores, labels, seed)
    assert {name: metric.value for name, metric in found.items()} == {
        name: metric.value for name, metric in metrics.items()
    }
    return [found[name].interval for name in NAMES], note


@pytest.mark.parametrize(
    ("share", "signal", "larger"),
    [(0.12, 0.0, "resamples"), (0.3, 2.5, "jackknife")],
)
def test_it_is_students_of_the_logit_with_the_larger_standard_error(
    monkeypatch: pytest.MonkeyPatch, share: float, signal: float, larger: str
) -> None:
    """With every resample copied and every image left out by a loop."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 4000)
    rng = np.random.default_rng(5)
    scores, labels = several_labels(rng, 60, 2, share, signal)
    resampled = np.array(
        [means(scores[drawn], labels[drawn]) for drawn in torch.from_numpy(rng.integers(60, size=(2000, 60)))]
    )
    left_out = np.array(
        [means(scores[kept], labels[kept]) for kept in (torch.arange(60) != out for out in range(60))]
    )
    found, _ = intervals(scores, labels)
    shown = int((labels > 0).any(dim=1).sum())
    for place, value in enumerate(means(scores, labels)):
        apart = left_out[:, place] - left_out[:, place].mean()
        errors = {
            "jackknife": (59 / 60 * (apart**2).sum()) ** 0.5,
            "resamples": resampled[:, place].std(ddof=1),
        }
        which = max(errors, key=errors.__getitem__)
        assert which == larger, errors
        odds = np.log(value / (100 - value))
        reach = student.ppf(0.975, shown - 1) * errors[which] * 100 / (value * (100 - value))
        low, high = (100 / (1 + np.exp(-odds - sign * reach)) for sign in (-1, 1))
        sure = 1e-9 if which == "jackknife" else 0.05 * (high - low)  # other resamples
        assert found[place] == pytest.approx((low, high), abs=sure)


@pytest.mark.parametrize(("images", "classes", "share", "signal"), [(100, 8, 0.4, 0.0), (200, 4, 0.06, 0.0)])
def test_95_percent_of_the_intervals_hold_the_mean_over_sets_of_as_many_images(
    monkeypatch: pytest.MonkeyPatch, images: int, classes: int, share: float, signal: float
) -> None:
    """Of these, BCa intervals hold it in 74 and 84% of cases."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 100)
    rng = np.random.default_rng(1)
    others = [means(*several_labels(rng, images, classes, share, signal)) for _ in range(1000)]
    mean, runs, held = np.mean(others, axis=0), 200, np.zeros(2)
    for seed in range(runs):
        found, note = intervals(*several_labels(rng, images, classes, share, signal), seed)
        assert f"over the {images} evaluated images" in note
        for place, interval in enumerate(found):
            assert interval is not None
            held[place] += interval[0] <= mean[place] <= interval[1]
    # At a probability of 0.95, fewer than 181 of 200 would be a case of one in a hundred.
    assert (held >= 181).all(), held
    assert (held < runs).all(), "never wrong would be too wide"


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(20, 90),
    st.sampled_from([0.02, 0.1, 0.5]),
    st.sampled_from([0.0, 1.0, 4.0]),
    st.sampled_from([1.0, 1e6]),
)
def test_an_interval_holds_its_value(
    seed: int, images: int, share: float, signal: float, levels: float
) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = several_labels(rng, images, 3, share, signal)
    labels[0, 0] = 1
    labels[torch.from_numpy(rng.random(labels.shape) < 0.05) & (labels == 0)] = -1
    scores = (scores * levels).round() / levels  # few levels: equal scores are common
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "RESAMPLES", 50)
        found, note = intervals(scores, labels, seed)
    for value, interval in zip(means(scores, labels), found, strict=True):
        if interval is not None:
            low, high = interval
            assert 0 <= low < value < high <= 100
        else:
            assert value > 99.9999, "all resamples are perfect"
    said = "Student's t on a logit scale by 2000 resamples and a jackknife of mAP"
    assert (said not in note) == all(interval is None for interval in found)
    assert ("no intervals" in note) == all(interval is None for interval in found)


def test_there_is_none_where_nothing_varies_or_is_measured() -> None:
    def statistic(times: np.ndarray) -> np.ndarray:
        varied = 50 + times[:, 0]
        return np.stack([np.full(len(times), 30.0), np.full(len(times), np.nan), varied], axis=1)

    shown = np.ones(30, dtype=bool)
    constant, missing, varied = precision_intervals([30.0, np.nan, 51.0], statistic, shown, seed=0)
    assert constant is None and missing is None
    assert varied is not None and varied[0] < 51 < varied[1]
    assert precision_intervals([0.0, 100.0, 51.0], statistic, shown, seed=0)[:2] == [None, None]


def test_many_images_are_drawn_and_left_out_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=(50, 2))

    def statistic(times: np.ndarray) -> np.ndarray:
        return times @ values / times.sum(axis=1, keepdims=True)

    whole = standard_errors(50, statistic, seed=3)
    assert whole == pytest.approx(values.std(axis=0, ddof=1) / 50**0.5, rel=0.05)
    monkeypatch.setattr(bootstrap, "KINDS_AT_ONCE", 50 * 7)
    assert standard_errors(50, statistic, seed=3) == pytest.approx(whole, rel=1e-12)
