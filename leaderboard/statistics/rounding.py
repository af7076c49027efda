"""What floating-point rounding alone may do to means, so that it decides nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDING = 1e-9  # relative: values closer than this differ by floating-point rounding alone


def rounding(*values: float) -> float:
    """Return the largest difference of numbers of this size that may be rounding alone."""
    return ROUNDING * max(1.0, *map(abs, values))


def levelled(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return means (n,) or (n, columns) of which those that differ by rounding alone are equal.

    As many right images, split otherwise over seeds, give means such as 71.05 and 71.05000000000001. Both
    become the lower one, so that they are equal in every later comparison. Values of different columns are
    not compared.
    """
    order = np.argsort(means, axis=0, kind="stable")
    ordered = np.take_along_axis(means, order, axis=0)
    starts = np.zeros(means.shape, dtype=np.int64)  # in the order: where the equal ones of each begin
    apart = np.diff(ordered, axis=0) > ROUNDING * np.maximum(1, np.abs(ordered[1:]))
    places = np.arange(1, len(means)).reshape(-1, *[1] * (means.ndim - 1))
    starts[1:] = np.maximum.accumulate(np.where(apart, places, 0), axis=0)
    found = np.empty_like(ordered)
    np.put_along_axis(found, order, np.take_along_axis(ordered, starts, axis=0), axis=0)
    return found
