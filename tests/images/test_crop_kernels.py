"""The compiled crops against torchvision's on single images, and against batched matrices."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as reference

from mmbench.images.crop_rule import CropRule
from mmbench.images.crops import Crops, crops_by_matrices, draw_crops, flipped_images, resized_crops


@pytest.mark.parametrize(
    ("height", "width", "size"), [(32, 32, 32), (40, 36, 17), (20, 61, 48), (150, 90, 80), (9, 200, 5)]
)
def test_a_crop_is_that_of_torchvision(height: int, width: int, size: int) -> None:
    generator, batch = torch.Generator().manual_seed(size), 40
    images = torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8, generator=generator)
    crops = draw_crops(batch, (height, width), CropRule((0.001, 1.0)), generator)
    for field, whole in zip(crops, (0, 0, height, width), strict=True):
        field[0] = whole
    for field, pixel in zip(crops, (height - 1, width - 1, 1, 1), strict=True):
        field[1] = pixel
    flipped = torch.arange(batch) % 2 == 1
    views = resized_crops(images, crops, size, flipped)
    for index, (image, view) in enumerate(zip(images, views, strict=True)):
        box = [int(value[index]) for value in crops]
        expected = reference.resized_crop(image.float() / 255, *box, [size, size], antialias=True)
        expected = reference.horizontal_flip(expected) if flipped[index] else expected
        assert torch.allclose(view, expected, atol=2e-5)


@settings(max_examples=60, deadline=None)
@given(
    source=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    size=st.integers(1, 70),
    shape=st.tuples(st.integers(0, 9), st.integers(1, 4)),
    seed=st.integers(0, 2**32),
)
def test_compiled_crops_are_those_of_matrices(
    source: tuple[int, int], size: int, shape: tuple[int, int], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (*shape, *source), dtype=torch.uint8, generator=generator)
    crops: Crops = draw_crops(shape[0], source, CropRule((0.01, 1.0), (1 / 2, 2)), generator)
    flipped = torch.rand(shape[0], generator=generator) < 0.5
    expected = crops_by_matrices(images, crops, size, flipped)
    assert torch.allclose(resized_crops(images, crops, size, flipped), expected, atol=1e-4)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_flipped_images(order: torch.memory_format) -> None:
    images = torch.randint(0, 256, (5, 3, 24, 19), dtype=torch.uint8).contiguous(memory_format=order)
    flipped = torch.tensor([True, False, False, True, True])
    for image, view, mirrored in zip(images, flipped_images(images, flipped), flipped, strict=True):
        assert torch.allclose(view, (image.flip(2) if mirrored else image).float() / 255)


def test_the_number_of_threads_changes_nothing() -> None:
    generator, before = torch.Generator().manual_seed(0), torch.get_num_threads()
    images = torch.randint(0, 256, (40, 3, 120, 150), dtype=torch.uint8, generator=generator)
    crops = draw_crops(40, (120, 150), CropRule((0.1, 1.0)), generator)
    flipped = torch.rand(40, generator=generator) < 0.5
    made = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        made.append(resized_crops(images, crops, 200, flipped))
    torch.set_num_threads(before)
    assert torch.equal(*made)
