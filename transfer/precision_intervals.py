"""95% intervals of average precision over images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mmbench.transfer.bootstrap import RESAMPLES, Interval, Statistic, standard_errors

BY_STANDARD_ERROR = f"Student's t on a logit scale by {RESAMPLES} resamples and a jackknife"
ROUNDING = 1e-9  # percent; of a metric that never varies


def precision_intervals(
    values: Sequence[float], statistic: Statistic, shown: NDArray[np.bool_], seed: int
) -> list[Interval | None]:
    """Return the 95% interval of each average precision, which holds its value.

    Student's t interval on a logit scale (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
    sections 12.4 and 12.6; for this scale Boyd, Eng and Page, Area under the precision-recall curve: point
    estimates and confidence intervals, ECML PKDD 2013), with as many degrees of freedom as images that show
    something, less one. It is of the mean over other sets of as many images. That of very many images is
    lower, as each right thing raises the precision at its own place.

    A resample shows images several times, and a right one shares its place with its copies, which raises
    average precision again: without signal nearly all resamples are above the value. BCa corrects for that
    and may exclude the value; the deviation of resamples suffers little. Simulated were 1 and 6 classes with
    10 to 80 right ones in 100 to 1000 images, without signal to a clear one. The interval held the mean in 93
    to 100% of cases, on average 96% (of 11 points 90 to 100%, 96%); BCa in 77 to 96%, on average 89%.
    With the resamples alone those of 11 points went down to 86%, with the jackknife alone those of the area
    to 81%. With fewer right ones it is wider and held the mean in 92% or more (of 11 points 90%). It is least
    sure of classes in a few of thousands of images without signal: 10 in 3000 gave 91% (88%).

    Args:
        values: in percent, as reported.
        statistic: of draws of images (draws, images), to the same metrics in percent (draws, metrics).
        shown: (images,), whether there is anything to find in the image.
        seed: of the draws.

    Returns:
        (low, high) per metric; None where all resamples have the same value.
    """
    from scipy.special import expit, logit
    from scipy.stats import t

    errors = standard_errors(len(shown), statistic, seed)
    quantile = float(t.ppf(0.975, max(1, int(shown.sum()) - 1)))
    found: list[Interval | None] = []
    for value, error in zip(values, errors, strict=True):
        share = value / 100
        if not (0 < share < 1 and error > ROUNDING):  # NaN where there is nothing to find
            found.append(None)
            continue
        reach = quantile * error / 100 / (share * (1 - share))  # of the logit, whose slope is 1 / (p (1 - p))
        low, high = 100 * expit(logit(share) + reach * np.array([-1, 1]))
        found.append((min(value, float(low)), max(value, float(high))))
    return found
