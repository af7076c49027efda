"""Classification metrics, recomputed one image at a time."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmbench.errors import UserError
from mmbench.transfer.metrics import (
    classification_metrics,
    confusion,
    per_class_accuracy,
    percent_correct,
)


def test_metrics_equal_a_count_by_hand() -> None:
    generator = torch.Generator().manual_seed(3)
    scores = torch.randn((50, 7), generator=generator)
    labels = torch.randint(7, (50,), generator=generator)
    metrics = classification_metrics(scores, labels)
    first, fifth, per_class = 0, 0, {label: [0, 0] for label in range(7)}
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        better = sum(value > row[label] for value in row)
        first += better == 0
        fifth += better < 5
        per_class[label][0] += better == 0
        per_class[label][1] += 1
    assert metrics["top1"].value == pytest.approx(100 * first / 50, rel=1e-12)
    assert metrics["top5"].value == pytest.approx(100 * fifth / 50, rel=1e-12)
    mean = sum(right / count for right, count in per_class.values() if count) / 7
    assert metrics["mean_per_class"].value == pytest.approx(100 * mean, rel=1e-12)
    assert all(metric.n == 50 and metric.higher_is_better for metric in metrics.values())


def test_five_classes_have_no_top5() -> None:
    assert "top5" not in classification_metrics(torch.eye(5), torch.arange(5))


def test_the_loss_is_the_mean_surprise() -> None:
    generator = torch.Generator().manual_seed(4)
    scores = 5 * torch.randn((40, 3), generator=generator)
    labels = torch.randint(3, (40,), generator=generator)
    surprise = 0.0
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        surprise -= row[label] - math.log(sum(math.exp(value) for value in row))
    loss = classification_metrics(scores, labels, logits=True)["loss"]
    assert loss.value == pytest.approx(surprise / 40, rel=1e-9)
    assert not loss.higher_is_better and loss.unit == "nats" and loss.n == 40
    assert "loss" not in classification_metrics(scores, labels)


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 60), classes=st.integers(1, 7), levels=st.integers(1, 9), seed=st.integers(0, 9999)
)
def test_a_confusion_matrix_counts_every_image_once(count: int, classes: int, levels: int, seed: int) -> None:
    """Few levels of scores make ties, of which the first class counts."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(levels, (count, classes), generator=generator).float()
    labels = torch.randint(classes, (count,), generator=generator)
    counts = confusion(scores, labels)
    by_hand = [[0] * classes for _ in range(classes)]
    for row, label in zip(scores.tolist(), labels.tolist(), strict=True):
        by_hand[label][row.index(max(row))] += 1
    assert counts.dtype == torch.int64 and counts.tolist() == by_hand
    top1 = classification_metrics(scores, labels)["top1"].value
    assert top1 == pytest.approx(100 * int(counts.diagonal().sum()) / count, rel=1e-12)


def test_accuracy_per_class_is_the_diagonal_over_the_row() -> None:
    counts = torch.tensor([[3, 1, 0], [0, 0, 0], [2, 3, 5]])
    assert per_class_accuracy(counts) == [75.0, None, 50.0]


def test_the_mean_per_class_is_over_classes_that_were_evaluated() -> None:
    generator = torch.Generator().manual_seed(5)
    scores = torch.randn((30, 6), generator=generator)
    labels = torch.randint(5, (30,), generator=generator)  # class 5 is never true
    shares = per_class_accuracy(confusion(scores, labels))
    assert shares[5] is None
    there = [share for share in shares if share is not None]
    found = classification_metrics(scores, labels)["mean_per_class"].value
    assert found == pytest.approx(sum(there) / len(there), rel=1e-12)


@settings(max_examples=100, deadline=None)
@given(count=st.integers(1, 500), classes=st.integers(2, 9), seed=st.integers(0, 9999))
def test_accuracies_are_quotients_of_counts(count: int, classes: int, seed: int) -> None:
    """Equal, not close: 331 right of 400 is 82.75, and not 82.74999856948853."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn((count, classes), generator=generator)
    labels = torch.randint(classes, (count,), generator=generator)
    metrics = classification_metrics(scores, labels)
    rows = list(zip(scores.tolist(), labels.tolist(), strict=True))
    ranks = [sum(value > row[label] for value in row) for row, label in rows]
    assert metrics["top1"].value == 100 * sum(rank == 0 for rank in ranks) / count
    assert percent_correct(scores.argmax(dim=1), labels) == metrics["top1"].value
    if classes > 5:
        assert metrics["top5"].value == 100 * sum(rank < 5 for rank in ranks) / count
    exact = []
    for label in set(labels.tolist()):
        of_class = [rank == 0 for rank, (_, true) in zip(ranks, rows, strict=True) if true == label]
        exact.append(Fraction(100 * sum(of_class), len(of_class)))
    assert metrics["mean_per_class"].value == pytest.approx(float(sum(exact) / len(exact)), rel=1e-15)


def test_331_of_400_is_82_75() -> None:
    labels = torch.zeros(400, dtype=torch.int64)
    scores = torch.zeros(400, 2)
    scores[:331, 0] = scores[331:, 1] = 1
    assert classification_metrics(scores, labels)["top1"].value == 82.75
    assert per_class_accuracy(confusion(scores, labels)) == [82.75, None]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_are_refused(bad: float) -> None:
    """A NaN sorts before every number: it would make a class right by chance."""
    scores = torch.eye(4)
    scores[1, 2] = bad
    with pytest.raises(UserError, match="scores of 1 of 4 images are not finite"):
        classification_metrics(scores, torch.arange(4), logits=True)
