"""Scenes: patterned objects with smooth outlines, at random places and sizes, over dull backgrounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mmbench.data.patterns.images import OVERSAMPLING, SPLIT_CODES, Look, colour, coverage, reduce_area
from mmbench.data.patterns.textures import CLASSES, Array, Generator

SCENE_SIZE = 96
SCENE_CODE = 7  # keeps the scenes' generators apart from those of the images
MOST_OBJECTS = 4
RADII = (11.0, 24.0)
OUTLINE_POINTS = 48
TRIES_PER_OBJECT = 25


@dataclass(frozen=True)
class SceneObject:
    """One object.

    Attributes:
        class_index: index into CLASSES.
        polygon: outline (P, 2) as x, y in pixels, inside the picture.
        mask: which pixels it covers (S, S).
    """

    class_index: int
    polygon: Array
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """One picture (S, S, 3) uint8 and its objects, which do not overlap."""

    picture: NDArray[np.uint8]
    objects: tuple[SceneObject, ...]


def _outline(rng: Generator) -> tuple[Array, Array]:
    """Return the centre and the polygon of a smooth star-shaped outline that fits into the picture."""
    radius = rng.uniform(*RADII)
    angles = np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False)
    harmonics = np.arange(2, 5)
    amplitudes = rng.uniform(0, 0.18, 3) / np.sqrt(harmonics - 1)
    phases = rng.uniform(0, 2 * np.pi, 3)
    waves = amplitudes[:, None] * np.cos(harmonics[:, None] * angles + phases[:, None])
    radii = radius * (1 + waves.sum(axis=0))
    reach = radii.max()
    centre = rng.uniform(reach + 1, SCENE_SIZE - reach - 1, 2)
    return centre, centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def inside(polygon: Array, size: int, factor: int = 1) -> NDArray[np.bool_]:
    """Return which cells of a (size * factor)^2 grid have their centre inside the polygon (even-odd rule)."""
    centres = (np.arange(size * factor) + 0.5) / factor
    x, y = centres[None, :, None], centres[:, None, None]
    x0, y0 = polygon[:, 0], polygon[:, 1]
    x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
    spans = (y0 <= y) != (y1 <= y)
    crossing = x0 + (y - y0) * (x1 - x0) / np.where(y1 == y0, 1.0, y1 - y0)
    odd: NDArray[np.bool_] = (spans & (x < crossing)).sum(axis=2) % 2 == 1
    return odd


def _background(rng: Generator) -> Array:
    """Return a dull low-pass picture (S, S, 3), float64."""
    noise = rng.standard_normal((SCENE_SIZE, SCENE_SIZE))
    smooth = ndimage.gaussian_filter(noise, 9.0, mode="wrap")
    smooth /= smooth.std()
    base = np.array([136.0, 135.0, 133.0]) + rng.normal(0, 6, 3)
    picture: Array = base + 14 * smooth[..., None] + rng.normal(0, 3, (SCENE_SIZE, SCENE_SIZE, 3))
    return picture


def render_scene(seed: int, split: str, index: int) -> Scene:
    """Return scene `index` of a split: the same for the same three arguments, on every machine."""
    rng = np.random.default_rng([seed, SPLIT_CODES[split], SCENE_CODE, index])
    look = Look(light=0.2)
    picture = _background(rng)
    taken = np.zeros((SCENE_SIZE, SCENE_SIZE), dtype=bool)
    objects: list[SceneObject] = []
    wanted = int(rng.integers(1, MOST_OBJECTS + 1))
    for _ in range(TRIES_PER_OBJECT * wanted):
        if len(objects) == wanted:
            break
        _, polygon = _outline(rng)
        polygon = np.round(polygon, 2)  # as the annotation stores it
        mask = inside(polygon, SCENE_SIZE)
        if (taken & mask).any():
            continue
        taken |= ndimage.binary_dilation(mask, iterations=2)
        class_index = int(rng.integers(len(CLASSES)))
        texture = colour(coverage(class_index, 1, SCENE_SIZE, look, rng), look, rng)[0].astype(np.float64)
        alpha = reduce_area(inside(polygon, SCENE_SIZE, OVERSAMPLING).astype(np.float64), OVERSAMPLING)
        picture = picture * (1 - alpha[..., None]) + texture * alpha[..., None]
        objects.append(SceneObject(class_index, polygon, mask))
    return Scene(np.clip(np.rint(picture), 0, 255).astype(np.uint8), tuple(objects))
