"""95% intervals of the metrics of classification over the evaluated images."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mmbench.records.store import Metric
from mmbench.transfer.bootstrap import FEWEST_IMAGES, RESAMPLES, Interval, resampled_intervals

FEW_IMAGES = 10  # of a class; in simulations fewer gave intervals that are too narrow
Array = npt.NDArray[np.float64]
BOOTSTRAPPED = f"BCa bootstrap of {RESAMPLES} resamples"
HOW = {
    "top1": "Wilson's",
    "top5": "Wilson's",
    "loss": "Student's t",
    "mean_per_class": BOOTSTRAPPED,
}


def share_interval(right: int, images: int) -> Interval | None:
    """Return the interval of a share of images in percent, from counts; None for too few images.

    Wilson's (Probable inference, the law of succession, and statistical inference, JASA 22, 1927), as
    recommended by Brown, Cai and DasGupta (Interval estimation for a binomial proportion, Statistical
    Science 16, 2001). Over shares from 2% to 98% it holds the truth in 95.3% of cases at 20 images, on
    average, and in 95.0% from 400 on, where no share has less than 93.9%; Clopper and Pearson's, the exact
    one, holds it in 97.6% and 95.8%.
    """
    from scipy.stats import binomtest

    if images < FEWEST_IMAGES:
        return None
    found = binomtest(right, images).proportion_ci(0.95, method="wilson")
    return 100 * max(0.0, float(found.low)), 100 * min(1.0, float(found.high))


def mean_interval(values: Array) -> Interval | None:
    """Return Student's interval of the mean of values (N,), one per image; None where it has no width."""
    from scipy.stats import t

    images = len(values)
    if images < FEWEST_IMAGES or np.ptp(values) == 0:
        return None
    mean, deviation = float(values.mean()), float(values.std(ddof=1))
    reach = float(t.ppf(0.975, images - 1)) * deviation / images**0.5
    return mean - reach, mean + reach


def percent_interval(values: Array) -> Interval | None:
    """Return `mean_interval` of percentages, cut at 0 and 100."""
    found = mean_interval(values)
    return None if found is None else (max(0.0, found[0]), min(100.0, found[1]))


def class_mean_interval(labels: Tensor, shares: Tensor, seed: int) -> Interval | None:
    """Return the interval of the mean over classes of each class's mean over its images, in percent.

    By the bootstrap over images; those of a class with the same share are one kind. A class that a resample
    lacks is not in its mean.

    Args:
        labels: int64, (N,).
        shares: float64, (N,): whether the image was classified correctly, or how often.
        seed: of the draws.
    """
    if len(labels) < FEWEST_IMAGES:
        return None
    pairs, images = np.unique(np.stack([labels.numpy(), shares.numpy()]), axis=1, return_counts=True)
    starts = np.flatnonzero(np.diff(pairs[0], prepend=-1))

    def means(times: Array) -> Array:
        of_class = np.add.reduceat(times, starts, axis=1)
        with np.errstate(invalid="ignore"):
            found = np.add.reduceat(times * pairs[1], starts, axis=1) / of_class
        return np.asarray(100 * np.nanmean(found, axis=1, keepdims=True))

    return resampled_intervals(images, means, seed)[0]


def with_intervals(
    metrics: Mapping[str, Metric], scores: Tensor, labels: Tensor, places: Tensor, seed: int
) -> tuple[dict[str, Metric], str]:
    """Return metrics of `classification_metrics` with their intervals, and the note that says how.

    Args:
        scores: (N, classes), as the metrics were computed from.
        labels: int64, (N,).
        places: of the true class, see `true_places`.
        seed: of the bootstrap.
    """
    images = len(labels)
    found: dict[str, Interval | None] = {
        name: share_interval(int((places <= lowest).sum()), images)
        for name, lowest in (("top1", 1), ("top5", 5))
    }
    found["mean_per_class"] = class_mean_interval(labels, (places == 1).double(), seed)
    if "loss" in metrics:
        losses = torch.nn.functional.cross_entropy(scores.double(), labels, reduction="none")
        found["loss"] = mean_interval(losses.numpy())
    joined = {
        name: metric.model_copy(update={"interval": found.get(name)}) for name, metric in metrics.items()
    }
    return joined, interval_note(joined, images) + rare_classes(labels)


def rare_classes(labels: Tensor) -> str:
    """Return what the note on intervals adds where classes have few images; nothing where none has.

    In simulations of 100 images of 10 classes, of which 4 had 3 to 5, intervals of mean_per_class held
    the truth in 90% of cases.

    Args:
        labels: int64, (N,).
    """
    counts = torch.bincount(labels)
    rare = int(((counts > 0) & (counts < FEW_IMAGES)).sum())
    if not rare or len(labels) < FEWEST_IMAGES:
        return ""
    return f"; that of mean_per_class is too narrow for the {rare} classes of fewer than {FEW_IMAGES} images"


def interval_note(metrics: Mapping[str, Metric], images: int, how: Mapping[str, str] | None = None) -> str:
    """Return the note of a record that says how the intervals of metrics were found.

    Args:
        images: how many were evaluated.
        how: the method of each metric; by default `HOW`.
    """
    if images < FEWEST_IMAGES:
        return f"no intervals: they need {FEWEST_IMAGES} evaluated images"
    how = HOW if how is None else how
    methods: dict[str, list[str]] = {}
    for name, method in how.items():
        if name in metrics and metrics[name].interval is not None:
            methods.setdefault(method, []).append(name)
    if not methods:
        return "no intervals: all resamples are equal"
    words = "; ".join(f"{method} of {', '.join(names)}" for method, names in methods.items())
    return f"intervals: 95%, over the {images} evaluated images, not of pretrainings or seeds: {words}"
