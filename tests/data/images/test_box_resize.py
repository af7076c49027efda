"""Boxes resized by torch are Pillow's to the rounding, their outermost pixels too."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mmbench.data.images import box_resize
from mmbench.data.images.box_resize import resize

BILINEAR = Image.Resampling.BILINEAR


def resize_box(pixels: np.ndarray, box: box_resize.Box, size: int, *, around: bool = True) -> torch.Tensor:
    crop = torch.zeros((3, size, size), dtype=torch.uint8)
    box_resize.resize_box(pixels, box, crop, around=around)
    return crop


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


@st.composite
def boxes(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, int, int, int], int]:
    """Return an image of noise, a box of whole pixels inside it, and a size."""
    height, width = draw(st.integers(1, 200)), draw(st.integers(1, 200))
    tall, wide = draw(st.integers(1, height)), draw(st.integers(1, width))
    top, left = draw(st.integers(0, height - tall)), draw(st.integers(0, width - wide))
    return noise(height, width), (left, top, left + wide, top + tall), draw(st.integers(1, 96))


@given(drawn=boxes())
@settings(max_examples=200, deadline=None)
def test_boxes_are_pillows_to_the_rounding(drawn: tuple[np.ndarray, tuple[int, int, int, int], int]) -> None:
    """Noise of full contrast is the worst case; a value that is rounded once more may differ by two.

    So may one whose sums are halves in both passes, inside too: in 2 of 229,000 crops of noise.
    """
    pixels, box, size = drawn
    found = resize_box(pixels, box, size)
    expected = np.asarray(Image.fromarray(pixels).resize((size, size), BILINEAR, box=box))
    different = np.abs(found.permute(1, 2, 0).numpy().astype(int) - expected)
    assert different.max() <= 2 and (different[1:-1, 1:-1] > 1).sum() <= 1


@given(drawn=boxes())
@settings(max_examples=200, deadline=None)
def test_boxes_that_weigh_nothing_around_are_cut_out_and_then_resized(
    drawn: tuple[np.ndarray, tuple[int, int, int, int], int],
) -> None:
    pixels, box, size = drawn
    found = resize_box(pixels, box, size, around=False)
    expected = np.asarray(Image.fromarray(pixels).crop(box).resize((size, size), BILINEAR))
    different = np.abs(found.permute(1, 2, 0).numpy().astype(int) - expected)
    assert different.max() <= 2 and (different > 1).sum() <= 1


def test_few_values_of_a_crop_differ() -> None:
    pixels = noise(375, 500)
    for box in ((60.0, 20.0, 395.0, 355.0), (100.0, 10.0, 290.0, 230.0)):
        found = resize_box(pixels, box, 224).permute(1, 2, 0).numpy().astype(int)
        expected = np.asarray(Image.fromarray(pixels).resize((224, 224), BILINEAR, box=box))
        different = np.abs(found - expected)
        assert different.max() <= 1 and (different > 0).mean() < 0.02


def test_boxes_between_pixels_are_pillows() -> None:
    pixels = noise(60, 80)
    box = (3.25, 4.5, 70.125, 51.75)
    found = resize_box(pixels, box, 32).permute(1, 2, 0).numpy()
    assert np.array_equal(found, np.asarray(Image.fromarray(pixels).resize((32, 32), BILINEAR, box=box)))


@pytest.mark.parametrize("size", [(256, 341), (48, 64), (375, 500), (600, 800), (1, 1)])
def test_whole_images_are_pillows_to_the_rounding(size: tuple[int, int]) -> None:
    pixels = noise(375, 500)
    found = resize(pixels, *size)
    assert found.shape == (*size, 3)
    expected = np.asarray(Image.fromarray(pixels).resize(size[::-1], BILINEAR))
    assert np.abs(found.astype(int) - expected).max() <= 1
