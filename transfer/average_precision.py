"""Average precision of one class: how early its pictures come when all pictures are sorted by a score."""

from __future__ import annotations

import torch
from torch import Tensor


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
    (`get_precision_recall`). scikit-learn's `average_precision_score` leaves the interpolation out and is
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
