"""95% intervals of a metric by the bootstrap over images."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
# In simulations 95% intervals of 8 to 10 images held the truth in 86% of cases, of 20 in 95%.
FEWEST_IMAGES = 20
KINDS_AT_ONCE = 4_000_000  # numbers of drawn images in memory: 32 MB
GROUPS = 200  # of images, each left out once; up to so many images every one is a group

Interval = tuple[float, float]
# Counts of all drawn images together (..., *counts of one image) -> the metrics (..., metrics).
Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def image_intervals(counts: NDArray[np.int64], statistic: Statistic, seed: int) -> list[Interval | None]:
    """Return the 95% interval of each metric, which is computed from counts that are added over images.

    Args:
        counts: (images, ...), at least `FEWEST_IMAGES` of them.
        statistic: takes sums of counts, and returns the metrics in its last dimension.
        seed: of the draws.

    Returns:
        (low, high) per metric; None where all resamples have the same value.
    """
    flat = counts.reshape(len(counts), -1).astype(np.float64)  # sums stay exact up to 2^53 pixels

    def of_drawn(times: NDArray[np.float64]) -> NDArray[np.float64]:
        return statistic((times @ flat).reshape(len(times), *counts.shape[1:]))

    return resampled_intervals(np.ones(len(counts), dtype=np.int64), of_drawn, seed)


def resampled_intervals(images: NDArray[np.int64], statistic: Statistic, seed: int) -> list[Interval | None]:
    """Return the 95% interval of each metric, which is computed from how often every kind of image was drawn.

    Bias-corrected and accelerated (BCa; Efron, Better Bootstrap Confidence Intervals, JASA 82, 1987): mIoU is
    a mean of ratios and biased where classes are rare, which percentiles do not correct. In simulations with
    classes in 7% of 100 images, BCa intervals held the truth in 88% of cases, percentile intervals in 65%.
    The acceleration comes from leaving out each image, or each of 200 groups of images: the skewness of
    sums of as many images has the same expectation (Efron and Tibshirani, An Introduction to the Bootstrap,
    1993, section 11.5: groups of a jackknife).

    Args:
        images: (kinds,), how many images there are of each kind; those of a kind contribute alike.
        statistic: takes how often each kind was drawn (draws, kinds), and returns (draws, metrics).
        seed: of the draws.

    Returns:
        (low, high) per metric; None where all resamples have the same value.
    """
    from scipy.stats import bootstrap

    rng = np.random.default_rng(seed % 2**63)
    groups = _groups(images, rng)
    everything = len(groups) * (len(groups) - 1) // 2  # the sum of all groups' numbers

    def of_groups(indices: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
        """Return the metrics (metrics, ...) of all groups, or of all but one (..., groups - 1)."""
        assert axis in (-1, indices.ndim - 1)
        numbers = indices.reshape(-1, indices.shape[-1])
        times = np.tile(images.astype(np.float64), (len(numbers), 1))
        if numbers.shape[1] < len(groups):
            times -= groups[everything - numbers.sum(axis=1)]
        found = statistic(times)
        return np.moveaxis(found.reshape(*indices.shape[:-1], -1), -1, 0)

    values = _resamples(images, statistic, rng)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # degenerate: dealt with below
        found = bootstrap(
            (np.arange(len(groups)),),
            of_groups,
            n_resamples=0,
            batch=min(_at_once(images), len(groups)),
            vectorized=True,
            confidence_level=0.95,
            method="BCa",
            bootstrap_result=SimpleNamespace(bootstrap_distribution=values.T),
        )
    low, high = found.confidence_interval
    return [
        (float(a), float(b)) if np.isfinite([a, b]).all() and a < b else None
        for a, b in zip(np.atleast_1d(low), np.atleast_1d(high), strict=True)
    ]


def standard_errors(images: int, statistic: Statistic, seed: int) -> NDArray[np.float64]:
    """Return the standard error (metrics,) of each metric over images: the larger of two estimates.

    The deviation of resamples, and that of the jackknife which leaves out each image or each of 200 groups
    (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6 and 11). NaN where a metric is
    not defined.

    Args:
        statistic: takes how often each image was drawn (draws, images), and returns (draws, metrics); NaN
            where a draw has nothing to measure, which is left out.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed % 2**63)
    kinds = np.ones(images, dtype=np.int64)
    groups = _groups(kinds, rng)
    resampled = _resamples(kinds, statistic, rng)
    size = _at_once(kinds)
    left_out = np.concatenate(
        [
            statistic((kinds - groups[start : start + size]).astype(np.float64))
            for start in range(0, len(groups), size)
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metrics that are NaN
        apart = np.nanstd(left_out, axis=0) * (len(groups) - 1) ** 0.5
        return np.asarray(np.fmax(np.nanstd(resampled, axis=0, ddof=1), apart))


def _groups(images: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return how many images of each kind are in each group of a jackknife (groups, kinds)."""
    each = np.repeat(np.arange(len(images)), images)
    parts = np.array_split(rng.permutation(each), min(GROUPS, len(each)))
    return np.stack([np.bincount(part, minlength=len(images)) for part in parts])


def _at_once(images: NDArray[np.int64]) -> int:
    """Return how many draws of images are held in memory."""
    return max(1, KINDS_AT_ONCE // len(images))


def _resamples(
    images: NDArray[np.int64], statistic: Statistic, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the metrics (RESAMPLES, metrics) of draws of as many images as there are."""
    total, size = int(images.sum()), _at_once(images)
    draws = [min(size, RESAMPLES - start) for start in range(0, RESAMPLES, size)]
    share = images / total
    return np.concatenate(
        [statistic(rng.multinomial(total, share, size=count).astype(np.float64)) for count in draws]
    )
