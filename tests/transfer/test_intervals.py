"""95% intervals over images: statsmodels' and scipy's numbers, and how often they hold a known truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, bootstrap
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

from mmbench.transfer import bootstrap as resampling
from mmbench.transfer.average_precision import (
    Ranking,
    area,
    draw,
    mean_of_points,
    ranked_images,
)
from mmbench.transfer.intervals import (
    class_mean_interval,
    interval_note,
    mean_interval,
    percent_interval,
    share_interval,
    with_intervals,
)
from mmbench.transfer.metrics import (
    average_precision,
    average_precision_11_points,
    classification_metrics,
    true_places,
)


@settings(max_examples=60, deadline=None)
@given(st.integers(20, 5000), st.floats(0, 1))
def test_shares_have_the_interval_of_statsmodels(images: int, share: float) -> None:
    right = round(share * images)
    low, high = proportion_confint(right, images, 0.05, method="wilson")
    assert share_interval(right, images) == pytest.approx((100 * low, 100 * high), abs=1e-9)


@pytest.mark.parametrize(("images", "least"), [(20, 0.91), (50, 0.92), (400, 0.938), (1000, 0.944)])
def test_95_percent_of_the_intervals_of_shares_hold_the_truth(images: int, least: float) -> None:
    """Summed over all counts, at truths from 2% to 98%."""
    intervals = np.array([share_interval(right, images) for right in range(images + 1)]) / 100
    held = []
    for truth in np.linspace(0.02, 0.98, 25):
        inside = (intervals[:, 0] <= truth) & (truth <= intervals[:, 1])
        held.append(binom.pmf(np.arange(images + 1), images, truth)[inside].sum())
    assert 0.945 <= np.mean(held) <= 0.96 and min(held) >= least


def test_a_mean_has_students_interval() -> None:
    values = np.random.default_rng(0).exponential(size=40)
    found = student.interval(0.95, 39, values.mean(), values.std(ddof=1) / 40**0.5)
    assert mean_interval(values) == pytest.approx(found)
    assert mean_interval(np.ones(40)) is None and mean_interval(values[:19]) is None
    assert percent_interval(np.array([100.0] * 19 + [0.0]))[1] == 100.0  # type: ignore[index]


def class_mean(labels: np.ndarray, shares: np.ndarray) -> float:
    return 100 * float(np.mean([shares[labels == label].mean() for label in np.unique(labels)]))


def test_the_mean_over_classes_has_the_interval_of_scipys_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "RESAMPLES", 5000)
    rng = np.random.default_rng(3)
    labels = rng.choice(4, 90, p=[0.6, 0.2, 0.1, 0.1])
    shares = (rng.random(90) < np.array([0.9, 0.3, 0.6, 0.7])[labels]).astype(float)

    def of_drawn(indices: np.ndarray) -> float:
        return class_mean(labels[indices], shares[indices])

    reference = bootstrap(
        (np.arange(90),),
        of_drawn,
        n_resamples=3000,
        vectorized=False,
        method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval
    found = class_mean_interval(torch.from_numpy(labels), torch.from_numpy(shares), seed=0)
    assert found == pytest.approx(tuple(reference), abs=0.08 * (reference.high - reference.low))


def test_groups_of_images_give_the_interval_of_single_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(5, (150,), generator=generator)
    right = (torch.rand(150, generator=generator) < 0.8).double()
    single = class_mean_interval(labels, right, seed=0)
    monkeypatch.setattr(resampling, "GROUPS", 30)
    grouped = class_mean_interval(labels, right, seed=0)
    assert single is not None and grouped == pytest.approx(single, abs=0.1 * (single[1] - single[0]))


def test_most_intervals_of_the_mean_over_classes_hold_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "RESAMPLES", 400)
    rng = np.random.default_rng(0)
    accuracy, frequency = np.array([0.95, 0.8, 0.6, 0.7, 0.85]), np.array([0.4, 0.2, 0.1, 0.15, 0.15])
    held, runs = 0, 200
    for seed in range(runs):
        labels = rng.choice(5, 200, p=frequency)
        right = (rng.random(200) < accuracy[labels]).astype(float)
        found = class_mean_interval(torch.from_numpy(labels), torch.from_numpy(right), seed)
        assert found is not None
        held += found[0] <= 100 * accuracy.mean() <= found[1]
    assert 0.90 * runs <= held <= 0.99 * runs  # 95% within three standard errors


def several_labels(rng: np.random.Generator, images: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (N, 3) of any spread and labels 1, 0 or -1, of which the score knows something."""
    labels = (rng.random((images, 3)) < [0.3, 0.2, 0.4]).astype(np.int64)
    scores = rng.normal(size=(images, 3)) + [1.5, 1.0, 2.0] * labels
    labels[rng.random((images, 3)) < 0.05] = -1
    return torch.from_numpy(scores), torch.from_numpy(labels)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(5, 40), st.sampled_from([1.0, 4.0, 1e6]))
def test_average_precision_of_drawn_images_is_that_of_their_copies(
    seed: int, images: int, levels: float
) -> None:
    rng = np.random.default_rng(seed)
    scores, labels = several_labels(rng, images)
    scores = (scores * levels).round() / levels  # few levels: equal scores are common
    times = rng.integers(0, 3, images)
    drawn = np.repeat(np.arange(images), times)
    kept = drawn[labels[drawn, 0].numpy() >= 0]
    ranking = ranked_images(scores[:, 0], labels[:, 0], images)
    resampled = draw(times[None].astype(float), [ranking])
    ours = [
        ranking.averages(resampled, averaging)[0] for averaging in (area, mean_of_points(np.arange(11) / 10))
    ]
    truth = labels[kept, 0] > 0
    if not truth.any():
        assert np.isnan(ours).all()
        return
    assert ours[0] == pytest.approx(average_precision(scores[kept, 0], truth), abs=1e-12)
    assert ours[1] == pytest.approx(average_precision_11_points(scores[kept, 0], truth), abs=0.1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 12))
def test_rankings_of_the_same_detections_are_those_of_a_loop(seed: int, rights: int) -> None:
    """Each detection is counted as often as its image was drawn; ignored ones count neither way."""
    rng = np.random.default_rng(seed)
    image, objects = rng.integers(0, 6, 30), rng.integers(0, 4, 6)
    times, points = rng.integers(0, 3, (4, 6)), np.linspace(0, 1, 11)
    rankings, status = [], []
    for _ in range(3):
        kinds = rng.permutation(np.repeat([1, -1, 0], [rights, 5, 25 - rights]))
        right = np.flatnonzero(kinds == 1)
        rankings.append(Ranking(image, right, image[right], np.flatnonzero(kinds == -1), objects))
        status.append(kinds)
    resampled = draw(times.astype(float), rankings)
    for ranking, kinds in zip(rankings, status, strict=True):
        ours = ranking.averages(resampled, mean_of_points(points))
        for drawn, found in zip(times, ours, strict=True):
            total, hits, counted, curve = int(drawn @ objects), 0, 0, []
            for place, kind in zip(image, kinds, strict=True):
                hits += drawn[place] * (kind == 1)
                counted += drawn[place] * (kind != -1)
                if kind == 1 and total and counted:
                    curve.append((hits / total, hits / counted))
            expected = [max((y for x, y in curve if x >= point), default=0.0) for point in points]
            assert found == pytest.approx(np.mean(expected) if total else np.nan, nan_ok=True)


def test_every_metric_of_a_classification_has_an_interval() -> None:
    generator = torch.Generator().manual_seed(0)
    scores, labels = torch.randn((60, 7), generator=generator), torch.arange(60) % 7
    values = classification_metrics(scores, labels, logits=True)
    found, note = with_intervals(values, scores, labels, true_places(scores, labels), seed=0)
    assert {name: metric.value for name, metric in found.items()} == {
        name: metric.value for name, metric in values.items()
    }
    for name in ("top1", "top5", "mean_per_class", "loss"):
        low, high = found[name].interval or (0, 0)
        assert low < found[name].value < high
    assert (
        "Wilson's of top1, top5; Student's t of loss; BCa bootstrap of 2000 resamples of mean_per_class"
        in note
    )
    few, said = with_intervals(
        values, scores[:19], labels[:19], true_places(scores[:19], labels[:19]), seed=0
    )
    assert all(metric.interval is None for metric in few.values())
    assert said == "no intervals: they need 20 evaluated images"


def test_a_perfect_score_keeps_a_sure_side() -> None:
    scores, labels = torch.eye(3).repeat(20, 1), torch.arange(3).repeat(20)
    metrics = classification_metrics(scores, labels)
    found, note = with_intervals(metrics, scores, labels, true_places(scores, labels), seed=0)
    assert found["top1"].interval == pytest.approx((100 * 60 / (60 + 1.959964**2), 100))
    assert found["mean_per_class"].interval is None, "all resamples are equal"
    assert "mean_per_class" not in note and interval_note({}, 60) == "no intervals: all resamples are equal"
