"""Average precision against loops that follow the definition, and against scikit-learn."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, precision_recall_curve

from mmbench.transfer.metrics import (
    average_precision,
    average_precision_11_points,
    precision_and_hits,
)


def draw(seed: int, count: int = 60, levels: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores that know a little of the truth; of few levels, so that many are equal, where asked."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(count, generator=generator) < 0.25
    truth[seed % count] = True
    scores = torch.randn(count, generator=generator) + truth
    return (scores if levels is None else (scores * levels).round()), truth


def points(scores: torch.Tensor, truth: torch.Tensor) -> list[tuple[Fraction, Fraction]]:
    """Return (recall, precision) at every threshold, by counting."""
    found = []
    for threshold in sorted(set(scores.tolist()), reverse=True):
        taken = [
            right for score, right in zip(scores.tolist(), truth.tolist(), strict=True) if score >= threshold
        ]
        found.append((Fraction(sum(taken), int(truth.sum())), Fraction(sum(taken), len(taken))))
    return found


def best_from(curve: list[tuple[Fraction, Fraction]], recall: Fraction) -> Fraction:
    return max(precision for at, precision in curve if at >= recall)


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("seed", range(6))
def test_it_is_the_area_below_the_interpolated_curve(seed: int, levels: int | None) -> None:
    scores, truth = draw(seed, levels=levels)
    curve = points(scores, truth)
    area, before = Fraction(0), Fraction(0)
    for recall, _ in curve:
        area += (recall - before) * best_from(curve, recall)
        before = recall
    assert average_precision(scores, truth) == pytest.approx(float(area), abs=1e-12)


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("seed", range(6))
def test_eleven_points_are_the_mean_of_eleven_maxima(seed: int, levels: int | None) -> None:
    scores, truth = draw(seed, levels=levels)
    curve = points(scores, truth)
    expected = sum(best_from(curve, Fraction(tenth, 10)) for tenth in range(11)) / 11
    assert average_precision_11_points(scores, truth) == pytest.approx(float(expected), abs=1e-12)


def test_a_recall_of_exactly_three_tenths_counts() -> None:
    """Ten images of the class: three first, then ninety others, then seven; precision is 1 up to 0.3."""
    truth = torch.tensor([True] * 3 + [False] * 90 + [True] * 7)
    scores = torch.arange(100, 0, -1).float()
    expected = (4 * 1.0 + 7 * 0.1) / 11
    assert average_precision_11_points(scores, truth) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(6))
def test_it_is_scikit_learns_curve_made_monotone(seed: int) -> None:
    scores, truth = draw(seed, levels=3)
    precision, recall, _ = precision_recall_curve(truth.numpy(), scores.numpy())
    envelope = np.maximum.accumulate(precision)  # sorted by rising precision thresholds, falling recall
    expected = -np.sum(np.diff(recall) * envelope[:-1])
    assert average_precision(scores, truth) == pytest.approx(float(expected))
    assert average_precision(scores, truth) >= average_precision_score(truth.numpy(), scores.numpy()) - 1e-12


def test_it_is_scikit_learns_where_precision_never_rises() -> None:
    truth = torch.tensor([True, True, True, False, True, False, False, True, False, False])
    scores = torch.linspace(1, 0, 10)
    precision, _ = precision_and_hits(scores, truth)
    raw = truth.double().cumsum(0) / torch.arange(1, 11)
    at_hits = raw[truth]
    assert (at_hits.diff() <= 0).all()
    torch.testing.assert_close(precision[truth], at_hits)
    expected = average_precision_score(truth.numpy(), scores.numpy())
    assert average_precision(scores, truth) == pytest.approx(float(expected))


def test_the_stored_order_of_equal_scores_does_not_matter() -> None:
    scores, truth = draw(1, levels=1)
    order = torch.randperm(len(scores), generator=torch.Generator().manual_seed(0))
    for measure in (average_precision, average_precision_11_points):
        assert measure(scores[order], truth[order]) == pytest.approx(measure(scores, truth), abs=1e-12)


def test_ends_of_the_scale() -> None:
    truth = torch.tensor([True, True, False, False])
    for measure in (average_precision, average_precision_11_points):
        assert measure(torch.tensor([4.0, 3.0, 2.0, 1.0]), truth) == 1
        assert measure(torch.zeros(4), truth) == 0.5  # all equal: the share of the class
    assert average_precision(torch.tensor([1.0, 2.0, 3.0, 4.0]), truth) == 0.5  # 1/3 at first, then 2/4


def test_a_class_that_is_nowhere_has_no_average_precision() -> None:
    with pytest.raises(ValueError, match="nothing is true"):
        average_precision(torch.zeros(3), torch.zeros(3, dtype=torch.bool))
