"""Ten texture families, drawn as ink coverage over warped, rotated coordinates.

Every family is a function of a `Field` (coordinates and period of a batch of images) and returns
coverage in [0, 1] of shape (N, S, S), float64. All lengths are in drawing pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Generator = np.random.Generator


@dataclass(frozen=True)
class Field:
    """A batch of drawing planes.

    Attributes:
        u, v: warped and rotated coordinates, (N, S, S), the image's centre near (0, 0).
        period: one period per image, shaped (N, 1, 1).
        rng: the generator that every further draw comes from.
    """

    u: Array
    v: Array
    period: Array
    rng: Generator

    def uniform(self, low: float, high: float) -> Array:
        """Return one draw per image, shaped (N, 1, 1)."""
        return self.rng.uniform(low, high, self.period.shape)


TABLE = 48  # cells per side before scattered points repeat; a plane is at most 40 cells wide

Family = Callable[[Field], Array]
FAMILIES: dict[str, Family] = {}


def family(function: Family) -> Family:
    """File a family under its function's name; the order of definition is the order of classes."""
    FAMILIES[function.__name__] = function
    return function


def draw_field(count: int, size: int, periods: Array, warp: float, rng: Generator) -> Field:
    """Return `count` planes of `size` px: random rotation, shift, and a smooth warp of `warp` periods."""
    axis = np.arange(size, dtype=np.float64) - (size - 1) / 2
    period = periods.reshape(count, 1, 1)
    angle = rng.uniform(0, 2 * np.pi, (count, 1, 1))
    x, y = axis[None, None, :], axis[None, :, None]
    u = x * np.cos(angle) + y * np.sin(angle)
    v = y * np.cos(angle) - x * np.sin(angle)
    waves = rng.uniform(0, 2 * np.pi, (4, count, 1, 1))
    lengths = rng.uniform(3.5, 7.0, (4, count, 1, 1)) * period
    du = np.sin(2 * np.pi * v / lengths[0] + waves[0]) + np.sin(2 * np.pi * u / lengths[1] + waves[1])
    dv = np.sin(2 * np.pi * u / lengths[2] + waves[2]) + np.sin(2 * np.pi * v / lengths[3] + waves[3])
    shift = rng.uniform(-0.5, 0.5, (2, count, 1, 1)) * 4 * period
    return Field(u + warp * period * du + shift[0], v + warp * period * dv + shift[1], period, rng)


def _below(distance: Array, limit: Array) -> Array:
    """Return 1 where `distance` (in px) is below `limit`, with an edge one pixel wide."""
    return np.clip(limit - distance + 0.5, 0.0, 1.0)


def _wave(position: Array, period: Array, duty: Array) -> Array:
    """Return stripes of `duty` of the period across `position`, edges one pixel wide."""
    offset = np.abs(np.mod(position, period) - period / 2)
    return _below(offset, duty * period / 2)


@family
def stripes(field: Field) -> Array:
    """Straight parallel bars."""
    return _wave(field.u, field.period, field.uniform(0.35, 0.65))


@family
def arcs(field: Field) -> Array:
    """Concentric rings about a point off the middle."""
    size = field.u.shape[-1]
    distance, angle = field.uniform(0.15, 0.6) * size, field.uniform(0, 2 * np.pi)
    radius = np.hypot(
        field.u - field.u.mean(axis=(1, 2), keepdims=True) - distance * np.cos(angle),
        field.v - field.v.mean(axis=(1, 2), keepdims=True) - distance * np.sin(angle),
    )
    return _wave(radius, field.period, field.uniform(0.35, 0.65))


@family
def zigzag(field: Field) -> Array:
    """Bars that follow a triangle wave."""
    length = field.period * field.uniform(1.6, 2.4)
    triangle = np.abs(np.mod(field.v / length, 1.0) - 0.5) * 2
    height = length / 2 * field.uniform(0.7, 1.0)
    return _wave(field.u + triangle * height, field.period, field.uniform(0.35, 0.65))


@family
def checker(field: Field) -> Array:
    """A chessboard."""
    cell = 0.7 * field.period
    half = np.full_like(cell, 0.5)
    across, along = _wave(field.u, 2 * cell, half), _wave(field.v, 2 * cell, half)
    return across * along + (1 - across) * (1 - along)


@family
def bricks(field: Field) -> Array:
    """Rows of bricks with half an offset; ink is the brick, paper the mortar."""
    row = 0.95 * field.period
    width = row * field.uniform(1.5, 2.2)
    mortar = field.uniform(0.18, 0.30)
    index = np.floor(field.v / row)
    offset = np.mod(index, 2) * width / 2
    return _wave(field.v, row, 1 - mortar) * _wave(field.u + offset, width, 1 - mortar * row / width)


@family
def dots(field: Field) -> Array:
    """Discs on a square or an offset lattice."""
    period = field.period
    offset_rows = (field.rng.random(period.shape) < 0.5).astype(np.float64)
    index = np.floor(field.v / period)
    u = np.mod(field.u + offset_rows * np.mod(index, 2) * period / 2, period) - period / 2
    v = np.mod(field.v, period) - period / 2
    return _below(np.hypot(u, v), field.uniform(0.26, 0.36) * period)


@family
def plus(field: Field) -> Array:
    """Crosses on a square lattice."""
    lattice = 1.1 * field.period
    u = np.abs(np.mod(field.u, lattice) - lattice / 2)
    v = np.abs(np.mod(field.v, lattice) - lattice / 2)
    arm, width = field.uniform(0.36, 0.44) * lattice, field.uniform(0.10, 0.15) * lattice
    upright = _below(u, width) * _below(v, arm)
    return np.maximum(upright, _below(v, width) * _below(u, arm))


@family
def blobs(field: Field) -> Array:
    """Low-pass noise cut at a quantile."""
    from scipy import ndimage

    share = field.uniform(0.40, 0.65)
    covered = np.empty_like(field.u)
    for index, noise in enumerate(field.rng.standard_normal(field.u.shape)):
        smooth = ndimage.gaussian_filter(noise, 0.27 * field.period[index, 0, 0], mode="wrap")
        cut = np.quantile(smooth, share[index, 0, 0])
        slope = np.abs(np.gradient(smooth)).mean()
        covered[index] = np.clip((smooth - cut) / slope + 0.5, 0.0, 1.0)
    return covered


def _points_nearby(field: Field, cell: Array, *per_point: Array) -> Iterator[tuple[Array, ...]]:
    """Yield, for each of the 3 x 3 cells around every pixel, the offset (du, dv) to that cell's point.

    One point lies in each cell of side `cell`; the cells repeat after TABLE, which no image reaches.

    Args:
        field: the planes.
        cell: side of the cells (N, 1, 1).
        per_point: further values of each point (N, TABLE, TABLE), handed out with the offsets.
    """
    count = field.u.shape[0]
    jitter = field.rng.random((2, count, TABLE, TABLE))
    tables = [table.ravel() for table in (*jitter, *per_point)]
    u, v = field.u / cell, field.v / cell
    column, row = np.floor(u), np.floor(v)
    columns = [np.mod(column + right, TABLE).astype(np.int64) for right in (-1, 0, 1)]
    first = np.arange(count).reshape(count, 1, 1) * TABLE
    rows = [(first + np.mod(row + down, TABLE).astype(np.int64)) * TABLE for down in (-1, 0, 1)]
    du0, dv0 = u - column, v - row
    for down, row_start in zip((-1, 0, 1), rows, strict=True):
        for right, column_index in zip((-1, 0, 1), columns, strict=True):
            across, along, *further = (table.take(row_start + column_index) for table in tables)
            yield (du0 - right - across) * cell, (dv0 - down - along) * cell, *further


@family
def voronoi(field: Field) -> Array:
    """The walls between the cells of scattered points."""
    cell = 1.15 * field.period
    nearest = np.full_like(field.u, np.inf)
    second = nearest.copy()
    for du, dv in _points_nearby(field, cell):
        distance = du * du + dv * dv
        np.minimum(second, np.maximum(nearest, distance), out=second)
        np.minimum(nearest, distance, out=nearest)
    return _below(np.sqrt(second) - np.sqrt(nearest), cell * field.uniform(0.18, 0.30))


@family
def strokes(field: Field) -> Array:
    """Short bars in all directions, 1.15 per period squared."""
    cell = field.period / np.sqrt(1.15)
    turn, stretch = field.rng.random((2, field.u.shape[0], TABLE, TABLE))
    cosine, sine, half = np.cos(np.pi * turn), np.sin(np.pi * turn), 0.4 + 0.2 * stretch
    covered = np.zeros_like(field.u)
    for du, dv, c, s, length in _points_nearby(field, cell, cosine, sine, half):
        along, across = np.abs(du * c + dv * s), np.abs(dv * c - du * s)
        bar = _below(along, length * field.period) * _below(across, 0.12 * field.period)
        np.maximum(covered, bar, out=covered)
    return covered


CLASSES: tuple[str, ...] = tuple(FAMILIES)
