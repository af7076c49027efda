"""Runs: the values of one row in one column as arrays, with the pretraining that each belongs to."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ROUNDING = 1e-9  # relative: values closer than this differ by floating-point rounding alone


@dataclass(frozen=True)
class Runs:
    """One row in one column.

    Attributes:
        frame: a row per run: value, weights, and where known pretraining_seed, labels, images, unit, ....
        values: (runs,).
        pretraining: (runs,), the place of each run's pretraining in `means`.
        means: (pretrainings,), the mean of each one's runs, in the order of first appearance.
    """

    frame: pd.DataFrame
    values: NDArray[np.float64]
    pretraining: NDArray[np.int64]
    means: NDArray[np.float64]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Runs:
        """Return the runs of a slice of the frame of records; it has the columns value and weights."""
        values = frame["value"].to_numpy(np.float64)
        places: dict[str, int] = {}
        weights = [places.setdefault(name, len(places)) for name in frame["weights"].tolist()]
        pretraining = np.array(weights, dtype=np.int64)
        means = np.bincount(pretraining, weights=values) / np.bincount(pretraining)
        return cls(frame, values, pretraining, means)

    @property
    def mean(self) -> float:
        """The mean over pretrainings, each of the same weight."""
        return float(self.means.mean())

    @property
    def units(self) -> NDArray[np.float64]:
        """What is taken as independent: the means of pretrainings, or the runs of a single one."""
        return self.means if len(self.means) > 1 else self.values

    @property
    def names(self) -> tuple[str, ...]:
        """The identities of the weights in the order of `means`."""
        return tuple(dict.fromkeys(self.frame["weights"].tolist()))

    @functools.cached_property
    def resolution(self) -> float:
        """The least difference between two values of `units` that is more than rounding.

        A percentage of n images moves in steps of 100/n, its mean over k runs in steps of 100/(n k).
        """
        least = ROUNDING * max(1.0, float(np.abs(self.values).max()))
        unit = self.frame["unit"].iat[0] if "unit" in self.frame else None
        if unit != "percent":
            return least
        per_unit = len(self.values) / len(self.units)
        return max(least, 100 / float(self.frame["images"].max()) / per_unit)

    @property
    def varies(self) -> bool:
        """Whether the units differ by more than rounding."""
        return float(np.ptp(self.units)) > 0.999 * self.resolution
