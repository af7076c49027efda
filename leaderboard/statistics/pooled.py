"""Rows that share columns as one array, and the spread over pretrainings pooled over these rows."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mmbench.leaderboard.statistics.rounding import ROUNDING, levelled
from mmbench.leaderboard.statistics.runs import Measured, Runs
from mmbench.leaderboard.statistics.spread import TAIL
from mmbench.leaderboard.statistics.summaries import over_images

Key = tuple[str, str, str, str]  # of a column: task, data set, protocol, metric


@dataclass(frozen=True)
class Noise:
    """How the means of rows would differ if they were measured again.

    Attributes:
        covariance: of one pretraining between columns (columns, columns).
        counts: how many pretrainings each mean is over (rows, columns). Over images: 1 / variance.
        degrees: degrees of freedom of the covariance; infinite over images.
        basis: what varies.
    """

    covariance: NDArray[np.float64]
    counts: NDArray[np.float64]
    degrees: float
    basis: Literal["pretrainings", "images"]


@dataclass(frozen=True)
class SharedColumns:
    """Rows that all have the same columns.

    Attributes:
        names, keys: of rows and columns.
        signs: 1 where higher is better, else -1 (columns,).
        runs: by row and column.
    """

    names: tuple[str, ...]
    keys: tuple[Key, ...]
    signs: NDArray[np.float64]
    runs: tuple[tuple[Runs, ...], ...]

    @classmethod
    def of(cls, cells: Mapping[Key, Mapping[str, Measured]], higher: Mapping[Key, bool]) -> SharedColumns:
        """Return the rows of `cells`, by column and row; all columns have the same rows."""
        keys = tuple(sorted(cells))
        names = tuple(sorted(cells[keys[0]])) if keys else ()
        signs = np.array([1.0 if higher[key] else -1.0 for key in keys])
        return cls(
            names, keys, signs, tuple(tuple(Runs.of(cells[key][name]) for key in keys) for name in names)
        )

    @functools.cached_property
    def scores(self) -> NDArray[np.float64]:
        """Means (rows, columns) with the sign that makes higher better; see `levelled`."""
        means = np.array([[cell.mean for cell in row] for row in self.runs], dtype=np.float64)
        return np.multiply(levelled(means), self.signs)

    @functools.cached_property
    def noise(self) -> Noise | None:
        """The pooled spread; None where nothing is known of it.

        The covariance of how pretrainings differ from their row's means, pooled over rows as in an analysis
        of variance: two pretrainings of a row say too little of its own. It is taken for rows with a single
        pretraining as well. Where no row has two, the intervals over images count, if all records state
        them.
        """
        sums, degrees = np.zeros((len(self.keys), len(self.keys))), 0
        for row in range(len(self.names)):
            if (rest := self._deviations(row)) is not None:
                sums += rest.T @ rest
                degrees += len(rest) - 1
        if not degrees or not any(cell.varies for row in self.runs for cell in row):
            return self._over_images()
        return Noise(sums / degrees, self._counts, degrees, "pretrainings")

    def noise_of(self, row: int) -> Noise | None:
        """The row's own spread over pretrainings; None where not two of them have all columns."""
        rest = self._deviations(row)
        if rest is None:
            return None
        return Noise(rest.T @ rest / (len(rest) - 1), self._counts, len(rest) - 1, "pretrainings")

    @functools.cached_property
    def _counts(self) -> NDArray[np.float64]:
        return np.array([[len(cell.means) for cell in row] for row in self.runs], dtype=np.float64)

    def _deviations(self, row: int) -> NDArray[np.float64] | None:
        """Return how a row's pretrainings that have all columns differ from their mean.

        Of shape (pretrainings, columns), exactly 0 where they differ by rounding alone; None for fewer than
        two.
        """
        cells = self.runs[row]
        common = set(cells[0].names).intersection(*(cell.names for cell in cells))
        if len(common) < 2:
            return None
        by_name = [dict(zip(cell.names, cell.means, strict=True)) for cell in cells]
        table = np.array([[cell[name] for cell in by_name] for name in sorted(common)]) * self.signs
        rest: NDArray[np.float64] = table - table.mean(axis=0)
        rest[np.abs(rest) <= ROUNDING * np.maximum(1, np.abs(table))] = 0
        return rest

    def _over_images(self) -> Noise | None:
        from scipy.special import ndtri

        ends = [over_images(cell) for row in self.runs for cell in row if len(cell.values) == 1]
        widths = np.array([end.high - end.low for end in ends if end is not None])
        if len(widths) < self.scores.size or not (widths > 0).all():
            return None
        variances = (widths / (-2 * float(ndtri(TAIL)))).reshape(len(self.runs), -1) ** 2
        return Noise(np.eye(len(self.keys)), 1 / variances, np.inf, "images")
