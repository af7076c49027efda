"""From coverage to images: equal brightness for every class, few colours, light and noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmbench.data.patterns.textures import CLASSES, FAMILIES, Array, Generator, draw_field

STORED_SIZE = 40
OVERSAMPLING = 2
CHUNK = 20  # images that share one generator, so that any part can be rendered alone
SPLIT_CODES = {"train": 0, "val": 1, "test": 2}

TONE_SHARE = 0.38  # of the way from ink to paper, per standard deviation of coverage
INK, PAPER = np.array([50.0, 54.0, 66.0]), np.array([222.0, 216.0, 200.0])


@dataclass(frozen=True)
class Look:
    """How textures are drawn; lengths in pixels of the stored image. Chosen on the val split.

    Attributes:
        periods: range of the log-uniform period.
        warp: amplitude of the smooth warp, in periods.
        contrast: range of the factor on the difference of ink and paper.
        colour_noise: standard deviation of each image's own shift of ink and of paper.
        light: largest linear light gradient from edge to edge, as a share.
        pixel_noise: standard deviation of independent noise per pixel and channel.
    """

    periods: tuple[float, float] = (5.5, 8.0)
    warp: float = 0.32
    contrast: tuple[float, float] = (0.95, 1.0)
    colour_noise: float = 2.0
    light: float = 0.2
    pixel_noise: float = 3.0


def reduce_area(images: Array, factor: int) -> Array:
    """Average blocks of factor x factor pixels of arrays (..., H, W)."""
    *lead, height, width = images.shape
    blocks = images.reshape(*lead, height // factor, factor, width // factor, factor)
    reduced: Array = blocks.mean(axis=(-3, -1))
    return reduced


def coverage(class_index: int, count: int, size: int, look: Look, rng: Generator) -> Array:
    """Return area-reduced ink coverage (count, size, size) of one class."""
    low, high = np.log(look.periods)
    periods = np.exp(rng.uniform(low, high, count)) * OVERSAMPLING
    field = draw_field(count, size * OVERSAMPLING, periods, look.warp, rng)
    return reduce_area(FAMILIES[CLASSES[class_index]](field), OVERSAMPLING)


def colour(covered: Array, look: Look, rng: Generator) -> NDArray[np.uint8]:
    """Return images (N, H, W, 3) in which no class is brighter or stronger than another.

    Coverage is normalised per image to zero mean and unit deviation before ink and paper are applied, so
    neither the mean nor the deviation of an image depends on its class.
    """
    count, height, width = covered.shape
    mean, deviation = covered.mean(axis=(1, 2), keepdims=True), covered.std(axis=(1, 2), keepdims=True)
    tone = np.clip((covered - mean) / np.maximum(deviation, 1e-3), -2.4, 2.4)
    tone *= rng.uniform(*look.contrast, (count, 1, 1))
    shift = rng.normal(0.0, look.colour_noise, (2, count, 1, 1, 3))
    ink, paper = INK + shift[0], PAPER + shift[1]
    images = (ink + paper) / 2 + tone[..., None] * (ink - paper) * TONE_SHARE
    angle, strength = rng.uniform(0, 2 * np.pi, (count, 1, 1)), rng.uniform(0, look.light, (count, 1, 1))
    x, y = np.linspace(-0.5, 0.5, width)[None, None, :], np.linspace(-0.5, 0.5, height)[None, :, None]
    light = 1 + strength * (x * np.cos(angle) + y * np.sin(angle))
    images = images * light[..., None] + rng.normal(0.0, look.pixel_noise, images.shape)
    rounded: NDArray[np.uint8] = np.clip(np.rint(images), 0, 255).astype(np.uint8)
    return rounded


def render_class(
    seed: int, split: str, class_index: int, count: int, look: Look | None = None
) -> NDArray[np.uint8]:
    """Return `count` images (count, 40, 40, 3) of one class of one split.

    The first images are the same whatever `count` is.
    """
    look = look or Look()
    chunks = []
    for chunk in range(-(-count // CHUNK)):
        rng = np.random.default_rng([seed, SPLIT_CODES[split], class_index, chunk])
        chunks.append(colour(coverage(class_index, CHUNK, STORED_SIZE, look, rng), look, rng))
    return np.concatenate(chunks)[:count] if chunks else np.empty((0, STORED_SIZE, STORED_SIZE, 3), np.uint8)
