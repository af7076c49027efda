"""Metrics of classification in percent, the loss in nats; average precision of one class in [0, 1]."""

from __future__ import annotations

from statistics import fmean

import torch
from torch import Tensor
from torch.nn import functional as F

from mmbench.errors import UserError
from mmbench.records.store import Metric


def require_finite(scores: Tensor, advice: str) -> None:
    """Refuse scores that hold a NaN or an infinity: their order, and so the accuracy, would be meaningless.

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
    places = true_places(scores, labels)
    images = torch.bincount(labels, minlength=classes)
    right = torch.bincount(labels[places == 1], minlength=classes)
    per_class = [share for share in _shares(right, images) if share is not None]
    values = {
        "top1": 100 * int((places == 1).sum()) / count,
        "mean_per_class": fmean(per_class),
    }
    if classes > 5:
        values["top5"] = 100 * int((places <= 5).sum()) / count
    found = {name: Metric(value=value, higher_is_better=True, n=count) for name, value in values.items()}
    if logits:
        loss = float(F.cross_entropy(scores.double(), labels))
        found["loss"] = Metric(value=loss, higher_is_better=False, n=count, unit="nats")
    return found


def true_places(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the place of the true class among the scores, from 1, int64 (N,).

    Of equal scores that of the first class is the higher one.

    Args:
        scores: (N, classes), finite, larger is better.
        labels: (N,) int64.
    """
    true = scores.gather(1, labels[:, None])
    before = torch.arange(scores.shape[1], device=scores.device) < labels[:, None]
    return 1 + ((scores > true) | ((scores == true) & before)).sum(dim=1)


def confusion(scores: Tensor, labels: Tensor) -> Tensor:
    """Return counts int64 (classes, classes): row is the true class, column the predicted one."""
    classes = scores.shape[1]
    predicted = scores.argmax(dim=1)  # of equal scores the first
    return torch.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def per_class_accuracy(counts: Tensor) -> list[float | None]:
    """Return percent per true class of a confusion matrix; None for a class that was not evaluated."""
    return _shares(counts.diagonal(), counts.sum(dim=1))


def _shares(right: Tensor, images: Tensor) -> list[float | None]:
    """Return 100 x right / images of every class from counts (classes,), None where there are no images."""
    pairs = zip(right.tolist(), images.tolist(), strict=True)
    return [100 * hits / total if total else None for hits, total in pairs]


def precision_and_hits(scores: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return the interpolated precision and the hits (both float64, T) at every threshold, highest first.

    Precision at a recall is the best precision at that recall or a higher one, so it never rises. Images of
    equal scores are taken in together: the order in which they were stored does not matter.

    Args:
        scores: (N,), larger is more likely.
        truth: bool, (N,).

    Raises:
        ValueError: nothing is true, so that there is no recall.
    """
    if not bool(truth.any()):
        raise ValueError("average precision is not defined where nothing is true")
    ranked, order = scores.double().sort(descending=True, stable=True)
    last_of_equals = torch.ones(len(ranked), dtype=torch.bool)
    last_of_equals[:-1] = ranked[:-1] != ranked[1:]
    hits = truth[order].double().cumsum(0)[last_of_equals]
    taken = torch.arange(1, len(ranked) + 1, dtype=torch.float64)[last_of_equals]
    precision = (hits / taken).flip(0).cummax(0).values.flip(0)
    return precision, hits


def average_precision(scores: Tensor, truth: Tensor) -> float:
    """Return the area below the interpolated precision-recall curve, in [0, 1].

    The measure of the VOC devkit from 2010 on, and of VISSL and fair_self_supervision_benchmark for VOC 2007
    (`get_precision_recall`). scikit-learn's `average_precision_score` does not interpolate and is
    never larger.

    Args:
        scores: (N,), larger is more likely.
        truth: bool, (N,).

    Raises:
        ValueError: nothing is true.
    """
    precision, hits = precision_and_hits(scores, truth)
    gained = torch.diff(hits, prepend=hits.new_zeros(1))
    return float((gained * precision).sum() / hits[-1])


def average_precision_11_points(scores: Tensor, truth: Tensor) -> float:
    """Return the mean of the interpolated precision at recall 0, 0.1, ..., 1, in [0, 1].

    The measure of the VOC 2007 devkit (Everingham et al. 2010, The Pascal visual object classes challenge,
    section 4.2).

    Args:
        scores: (N,), larger is more likely.
        truth: bool, (N,).

    Raises:
        ValueError: nothing is true.
    """
    precision, hits = precision_and_hits(scores, truth)
    # Whole numbers: 3 / 10 >= 0.30000000000000004 would be false.
    reached = [int((10 * hits >= tenth * hits[-1]).nonzero()[0]) for tenth in range(11)]
    return float(precision[reached].mean())
