"""Crops of decoded images by matrix products are Pillow's to the rounding, whatever is resized together."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from mmbench.data.images import device_crops as module
from mmbench.data.images.box_resize import Box
from mmbench.data.images.device_crops import device_crops

BILINEAR = Image.Resampling.BILINEAR


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def planes(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)


def by_pillow(pixels: np.ndarray, box: Box, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((size, size), BILINEAR, box=box)).astype(int)


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[int, int], list[Box]]:
    """Return a size and two boxes of whole pixels inside it."""
    height, width = draw(st.integers(1, 160)), draw(st.integers(1, 160))
    boxes: list[Box] = []
    for _ in range(2):
        left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        boxes.append((left, top, draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))))
    return (height, width), boxes


@given(made=st.lists(cases(), min_size=1, max_size=4), size=st.integers(1, 40))
@example(made=[((120, 150), [(123, 53, 135, 70), (0, 0, 1, 1)])], size=18)  # many sums are halves
@settings(max_examples=150, deadline=None)
def test_crops_are_pillows_to_the_rounding(made: list[tuple[tuple[int, int], list[Box]]], size: int) -> None:
    pixels = [noise(*shape) for shape, _ in made]
    given = [planes(image) for image in pixels], [boxes for _, boxes in made]
    found = device_crops(*given, size, around=True)
    assert found.shape == (len(made), 2, 3, size, size) and found.dtype == torch.uint8
    for image, (_, boxes), crops in zip(pixels, made, found, strict=True):
        for box, crop in zip(boxes, crops, strict=True):
            difference = crop.permute(1, 2, 0).numpy().astype(int) - by_pillow(image, box, size)
            assert np.abs(difference).max() <= 2  # halves in both passes
    for image, (_, boxes), crops in zip(pixels, made, device_crops(*given, size, around=False), strict=True):
        for box, crop in zip(boxes, crops, strict=True):
            left, top, right, bottom = map(int, box)
            cut = np.ascontiguousarray(image[top:bottom, left:right])
            expected = by_pillow(cut, (0, 0, right - left, bottom - top), size)
            assert np.abs(crop.permute(1, 2, 0).numpy().astype(int) - expected).max() <= 2


def test_nearly_all_values_are_pillows() -> None:
    """At the sizes of pretraining, on noise, of which a rounding shows everywhere."""
    pixels = noise(375, 500)
    boxes: list[Box] = [(0, 0, 500, 375), (31, 17, 401, 300), (100, 50, 300, 200), (7, 9, 107, 99)]
    for crop, box in zip(device_crops([planes(pixels)], [boxes], 224, around=True)[0], boxes, strict=True):
        difference = crop.permute(1, 2, 0).numpy().astype(int) - by_pillow(pixels, box, 224)
        assert np.abs(difference).max() <= 1 and (difference != 0).mean() < 0.02


def test_what_is_resized_together_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = [(50, 70), (200, 30), (8, 8), (90, 90), (61, 45)]
    images = [planes(noise(*shape)) for shape in shapes]
    boxes: list[list[Box]] = [
        [(0, 0, width, height), (width // 4, height // 3, width - 1, height - 2)] for height, width in shapes
    ]
    whole = device_crops(images, boxes, 24, around=True)
    groups: list[int] = []
    resized = module._resized

    def counted(windows: list[module.Window], size: int) -> Tensor:
        groups.append(len(windows))
        return resized(windows, size)

    monkeypatch.setattr(module, "_resized", counted)
    monkeypatch.setattr(module, "MOST_BYTES", 3 * 4 * 90 * 90 * 3)
    parts = device_crops(images, boxes, 24, around=True)
    assert (whole.int() - parts.int()).abs().max() <= 1
    assert sum(groups) == 10 and len(groups) > 2 and max(groups) > 1
    monkeypatch.setattr(module, "MOST_BYTES", 1)
    groups.clear()
    device_crops(images, boxes, 24, around=True)
    assert groups == [1] * 10


def test_a_window_is_no_larger_than_the_filter_reaches() -> None:
    """Pixels far from the box are not copied: an image of 6,000 px with a crop of 30 costs that crop."""
    image = torch.zeros((3, 1000, 6000), dtype=torch.uint8)
    window = module._window_around(image, (2000, 500, 2030, 540), 10)
    assert window.pixels.shape == (3, 40 + 2 * 4, 30 + 2 * 3) and window.box == (3, 4, 33, 44)
    corner = module._window_around(image, (0, 0, 30, 40), 40)
    assert corner.pixels.shape == (3, 41, 31) and corner.box == (0, 0, 30, 40)


@pytest.mark.gpu
def test_a_gpu_resizes_as_the_cpu_does() -> None:
    shapes = [(375, 500), (500, 333), (40, 40)]
    images = [planes(noise(*shape)) for shape in shapes]
    boxes: list[list[Box]] = [
        [(0, 0, width, height), (3, 5, width - 9, height - 2)] for height, width in shapes
    ]
    expected = device_crops(images, boxes, 224, around=True)
    found = device_crops([image.cuda() for image in images], boxes, 224, around=True).cpu()
    assert (expected.int() - found.int()).abs().max() <= 1
