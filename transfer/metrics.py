"""Classification metrics, in percent; the loss in nats."""

from __future__ import annotations

from statistics import fmean

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.errors import UserError
from mmbench.results import Metric


def require_finite(scores: Tensor, advice: str) -> None:
    """Refuse scores that hold a NaN or an infinity: their order, and so the accuracy, would mean nothing.

    Raises:
        UserError: which says how many images are concerned, and `advice`.
    """
    bad = int((~torch.isfinite(scores)).flatten(1).any(dim=1).sum())
    if bad:
        raise UserError(f"the scores of {bad} of {len(scores)} images are not finite; {advice}")


def percent_correct(predicted: Tensor, labels: Tensor) -> float:
    """Return the share of images whose predicted class is the true one, in percent, from integer counts."""
    return 100 * int((predicted == labels).sum()) / len(labels)


def classification_metrics(scores: Tensor, labels: Tensor, *, logits: bool = False) -> dict[str, Metric]:
    """Return top1, top5 (where there are more than five classes), mean_per_class, and the loss of logits.

    Accuracies are 100 x (integer count) / (integer count) in float64, so 331 right of 400 is 82.75 exactly.

    Args:
        scores: (N, classes), larger is better.
        labels: (N,) int64.
        logits: whether the scores are logits, so that mean cross-entropy means something.

    Raises:
        UserError: scores that are not finite.
    """
    require_finite(scores, "check the weights and the settings of the protocol")
    count, classes = scores.shape
    ranked = scores.argsort(dim=1, descending=True, stable=True)
    hits = ranked == labels[:, None]
    images = torch.bincount(labels, minlength=classes)
    right = torch.bincount(labels[hits[:, 0]], minlength=classes)
    per_class = [share for share in _shares(right, images) if share is not None]
    values = {
        "top1": 100 * int(hits[:, 0].sum()) / count,
        "mean_per_class": fmean(per_class),
    }
    if classes > 5:
        values["top5"] = 100 * int(hits[:, :5].sum()) / count
    found = {name: Metric(value=value, higher_is_better=True, n=count) for name, value in values.items()}
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
    return _shares(counts.diagonal(), counts.sum(dim=1))


def _shares(right: Tensor, images: Tensor) -> list[float | None]:
    """Return 100 x right / images of every class from counts (classes,), None where there are no images."""
    pairs = zip(right.tolist(), images.tolist(), strict=True)
    return [100 * hits / total if total else None for hits, total in pairs]
