"""Classification metrics, in percent; the loss in nats."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.results import Metric


def classification_metrics(scores: Tensor, labels: Tensor, *, logits: bool = False) -> dict[str, Metric]:
    """Return top1, top5 (where there are more than five classes), mean_per_class, and the loss of logits.

    Args:
        scores: (N, classes), larger is better.
        labels: (N,) int64.
        logits: whether the scores are logits, so that mean cross-entropy means something.
    """
    count, classes = scores.shape
    ranked = scores.argsort(dim=1, descending=True, stable=True)
    hits = ranked == labels[:, None]
    per_class = [float(hits[labels == label, 0].float().mean()) for label in torch.unique(labels).tolist()]
    shares = {
        "top1": float(hits[:, 0].float().mean()),
        "mean_per_class": sum(per_class) / len(per_class),
    }
    if classes > 5:
        shares["top5"] = float(hits[:, :5].any(dim=1).float().mean())
    found = {
        name: Metric(value=100 * share, higher_is_better=True, n=count) for name, share in shares.items()
    }
    if logits:
        loss = float(F.cross_entropy(scores.double(), labels))
        found["loss"] = Metric(value=loss, higher_is_better=False, n=count, unit="nats")
    return found


def confusion(scores: Tensor, labels: Tensor) -> Tensor:
    """Return counts int64 (classes, classes): row is the true class, column the predicted one."""
    classes = scores.shape[1]
    predicted = scores.argsort(dim=1, descending=True, stable=True)[:, 0]
    return torch.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def per_class_accuracy(counts: Tensor) -> list[float | None]:
    """Return percent per true class of a confusion matrix; None for a class that was not evaluated."""
    return [
        100 * float(row[index]) / float(row.sum()) if int(row.sum()) else None
        for index, row in enumerate(counts)
    ]
