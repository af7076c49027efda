"""Classification metrics, recomputed one image at a time."""

import pytest
import torch

from mmbench.transfer.accuracy import classification_metrics


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
    assert metrics["top1"].value == pytest.approx(100 * first / 50, abs=1e-4)
    assert metrics["top5"].value == pytest.approx(100 * fifth / 50, abs=1e-4)
    mean = sum(right / count for right, count in per_class.values() if count) / 7
    assert metrics["mean_per_class"].value == pytest.approx(100 * mean, abs=1e-4)
    assert all(metric.n == 50 and metric.higher_is_better for metric in metrics.values())


def test_five_classes_have_no_top5() -> None:
    assert "top5" not in classification_metrics(torch.eye(5), torch.arange(5))
