"""Runs: the values of one row in one column as arrays, with the pretraining that each belongs to."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mmbench.leaderboard.statistics.rounding import rounding

SLACK = 1 + 1e-6  # for steps that are themselves rounded
# Metrics in percent that are no shares of images: average precision, and shares of pixels.
NO_IMAGES = re.compile(r"((coco|mask|keypoint)_)*m?AP.*|mIoU|mAcc|aAcc")


@dataclass(frozen=True)
class Runs:
    """One row in one column.

    Attributes:
        facts: an array (runs,) each of value, weights, and where known pretraining_seed, labels, images,
            unit, metric, ....
        values: (runs,).
        pretraining: (runs,), the place of each run's pretraining in `means`.
        means: (pretrainings,), the mean of each one's runs, in the order of first appearance.
    """

    facts: Mapping[str, NDArray[Any]]
    values: NDArray[np.float64]
    pretraining: NDArray[np.int64]
    means: NDArray[np.float64]

    @classmethod
    def of(cls, found: Measured) -> Runs:
        """Return the runs of a slice of the frame of records, or of arrays; value and weights are there."""
        if isinstance(found, Runs):
            return found
        facts: Mapping[str, NDArray[Any]]
        if isinstance(found, pd.DataFrame):
            facts = {str(name): found[name].to_numpy() for name in found}
        else:
            facts = found
        values = np.asarray(facts["value"], dtype=np.float64)
        places: dict[str, int] = {}
        weights = [places.setdefault(name, len(places)) for name in facts["weights"].tolist()]
        pretraining = np.array(weights, dtype=np.int64)
        means = np.bincount(pretraining, weights=values) / np.bincount(pretraining)
        return cls(facts, values, pretraining, means)

    @functools.cached_property
    def mean(self) -> float:
        """The mean over pretrainings, each of the same weight."""
        return float(self.means.mean())

    @functools.cached_property
    def units(self) -> NDArray[np.float64]:
        """What is taken as independent: the means of pretrainings, or the runs of a single one."""
        return self.means if len(self.means) > 1 else self.values

    @functools.cached_property
    def variance(self) -> float:
        """The sample variance of the `units`, of which there are two or more."""
        return float(np.var(self.units, ddof=1))

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The identities of the weights in the order of `means`."""
        return tuple(dict.fromkeys(self.facts["weights"].tolist()))

    @functools.cached_property
    def resolution(self) -> float:
        """The largest difference between two of the `units` that may be rounding alone.

        A share of n images moves in steps of 100/n percent, its mean over k runs in steps of 100/(n k); one
        step is rounding. These are accuracies in percent, and means over classes of equally many images. Of
        all else (losses, counts, average precision, shares of pixels, other means over classes) it is the
        rounding of floating-point numbers.
        """
        values: list[float] = self.values.tolist()
        least = rounding(*values)
        if not self._may_count_images:
            return least
        images = [float(number) for number in self.facts["images"].tolist()]
        counted = [value * number / 100 for value, number in zip(values, images, strict=True)]
        if max(abs(share - round(share)) for share in counted) > 1e-6 * max(images):
            return least
        return max(least, 100 / max(images) * len(self.units) / len(values))

    @property
    def _may_count_images(self) -> bool:
        """Whether the values may be shares of images, by their unit and metric, where these are known."""
        unit, metric = (str(self.facts[name][0]) if name in self.facts else "" for name in ("unit", "metric"))
        return "images" in self.facts and unit in ("percent", "") and not NO_IMAGES.fullmatch(metric)

    def differ(self, units: NDArray[np.float64]) -> bool:
        """Whether means of pretrainings, runs or differences of them differ by more than rounding."""
        found: list[float] = units.tolist()  # of few numbers: several times faster than as an array
        return max(found) - min(found) > SLACK * self.resolution

    @functools.cached_property
    def varies(self) -> bool:
        """Whether the units differ by more than rounding."""
        return self.differ(self.units)

    @functools.cached_property
    def draws(self) -> tuple[tuple[str, ...], ...]:
        """By pretraining: digests of the labels that its runs saw, sorted; empty unless all are known."""
        if "labels" not in self.facts:
            return ()
        labels = self.facts["labels"].tolist()
        if not all(isinstance(digest, str) for digest in labels):
            return ()
        found: list[list[str]] = [[] for _ in self.means]
        for place, digest in zip(self.pretraining, labels, strict=True):
            found[place].append(digest)
        return tuple(tuple(sorted(digests)) for digests in found)

    @functools.cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each pretraining; empty unless all are known and different."""
        if "pretraining_seed" not in self.facts:
            return ()
        first = np.unique(self.pretraining, return_index=True)[1]
        seeds = self.facts["pretraining_seed"][first]
        found = () if pd.isna(seeds).any() else tuple(int(seed) for seed in seeds)
        return found if len(set(found)) == len(found) else ()

    @functools.cached_property
    def crossed(self) -> NDArray[np.float64] | None:
        """The values (pretrainings, draws) where two or more pretrainings saw the same two or more draws.

        None otherwise.
        """
        draws = self.draws
        if len(self.means) < 2 or len(set(draws)) != 1 or len(set(draws[0])) < len(draws[0]):
            return None
        if len(draws[0]) < 2:
            return None
        order = np.lexsort((self.facts["labels"].astype(str), self.pretraining))
        return self.values[order].reshape(len(self.means), -1)


Measured = Runs | pd.DataFrame | Mapping[str, NDArray[Any]]
