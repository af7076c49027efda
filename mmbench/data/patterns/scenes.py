"""Scenes: patterned objects with smooth outlines, at random places and sizes, over dull backgrounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbench.data.patterns.images import OVERSAMPLING, SPLIT_CODES, Look, colour, coverage, reduce_area
from mmbench.data.patterns.textures import CLASSES, Array, Generator

SCENE_SIZE = 96
SCENE_CODE = 7  # separates the scenes' generators from those of the images
MOST_OBJECTS = 4
RADII = (11.0, 24.0)
OUTLINE_POINTS = 48
PLANE_SIZE = 72  # holds the largest outline: 24 px x 1.41 to either side, rounded up
TRIES_PER_OBJECT = 25
# Objects show fewer periods than an image that is all texture, and so are bent less.
SCENE_LOOK = Look(periods=(5.0, 7.0), warp=0.14, contrast=(0.8, 1.0), light=0.2)


@dataclass(frozen=True)
class SceneObject:
    """One object.

    Attributes:
        class_index: index into CLASSES.
        polygon: outline (P, 2) as x, y in pixels, inside the image.
        mask: which pixels it covers (S, S).
    """

    class_index: int
    polygon: Array
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """One image (S, S, 3) uint8 and its objects, which do not overlap."""

    image: NDArray[np.uint8]
    objects: tuple[SceneObject, ...]


def _outline(rng: Generator) -> Array:
    """Return the polygon (P, 2) of a smooth star-shaped outline that fits into the image."""
    radius = rng.uniform(*RADII)
    angles = np.linspace(0, 2 * np.pi, OUTLINE_POINTS, endpoint=False)
    harmonics = np.arange(2, 5)
    amplitudes = rng.uniform(0, 0.18, 3) / np.sqrt(harmonics - 1)
    phases = rng.uniform(0, 2 * np.pi, 3)
    waves = amplitudes[:, None] * np.cos(harmonics[:, None] * angles + phases[:, None])
    radii = radius * (1 + waves.sum(axis=0))
    reach = radii.max()
    centre = rng.uniform(reach + 1, SCENE_SIZE - reach - 1, 2)
    polygon: Array = centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return polygon


def inside(polygon: Array, size: int, factor: int = 1) -> NDArray[np.bool_]:
    """Return which cells of a (size * factor)^2 grid have their centre inside the polygon (even-odd rule)."""
    filled = np.zeros((size * factor, size * factor), dtype=bool)
    low = np.maximum(np.floor(polygon.min(axis=0) * factor).astype(int), 0)
    high = np.minimum(np.ceil(polygon.max(axis=0) * factor).astype(int), size * factor)
    x = ((np.arange(low[0], high[0]) + 0.5) / factor)[None, :]
    y = ((np.arange(low[1], high[1]) + 0.5) / factor)[:, None]
    odd = filled[low[1] : high[1], low[0] : high[0]]
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 != y1:
            odd ^= ((y0 <= y) != (y1 <= y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return filled


def _background(rng: Generator) -> Array:
    """Return a dull low-pass image (S, S, 3), float64."""
    from scipy import ndimage

    noise = rng.standard_normal((SCENE_SIZE, SCENE_SIZE))
    smooth = ndimage.gaussian_filter(noise, 9.0, mode="wrap")
    smooth /= smooth.std()
    base = np.array([136.0, 135.0, 133.0]) + rng.normal(0, 6, 3)
    image: Array = base + 14 * smooth[..., None] + rng.normal(0, 3, (SCENE_SIZE, SCENE_SIZE, 3))
    return image


def render_scene(seed: int, split: str, index: int) -> Scene:
    """Return scene `index` of a split: the same for the same three arguments, on every machine."""
    from scipy import ndimage

    rng = np.random.default_rng([seed, SPLIT_CODES[split], SCENE_CODE, index])
    look = SCENE_LOOK
    image = _background(rng)
    taken = np.zeros((SCENE_SIZE, SCENE_SIZE), dtype=bool)
    objects: list[SceneObject] = []
    wanted = int(rng.integers(1, MOST_OBJECTS + 1))
    for _ in range(TRIES_PER_OBJECT * wanted):
        if len(objects) == wanted:
            break
        polygon = np.round(_outline(rng), 2)  # as the annotation stores it
        mask = inside(polygon, SCENE_SIZE)
        if (taken & mask).any():
            continue
        taken |= ndimage.binary_dilation(mask, iterations=2)
        class_index = int(rng.integers(len(CLASSES)))
        texture = colour(coverage(class_index, 1, PLANE_SIZE, look, rng), look, rng)[0].astype(np.float64)
        alpha = reduce_area(inside(polygon, SCENE_SIZE, OVERSAMPLING).astype(np.float64), OVERSAMPLING)
        left, top = np.clip(np.floor(polygon.min(axis=0)).astype(int), 0, SCENE_SIZE - PLANE_SIZE)
        patch = (slice(top, top + PLANE_SIZE), slice(left, left + PLANE_SIZE))
        share = alpha[patch][..., None]
        image[patch] = image[patch] * (1 - share) + texture * share
        objects.append(SceneObject(class_index, polygon, mask))
    return Scene(np.clip(np.rint(image), 0, 255).astype(np.uint8), tuple(objects))
