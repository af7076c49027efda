"""Random crops of files are those that PIL images give, by torchvision or by Pillow, to the rounding."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from mmbench.data.images.file_crops import generator_of, random_crops
from mmbench.images.crop_rule import CropRule
from mmbench.images.crops import draw_crops

BILINEAR = Image.Resampling.BILINEAR
SIZE, SCALE = 48, (0.08, 1.0)


@pytest.fixture(scope="module", params=["png", "jpg"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of noise, less than twice SIZE tall, so that no JPEG is decoded smaller."""
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    file = tmp_path_factory.mktemp("images") / f"noise.{request.param}"
    Image.fromarray(pixels).save(file)
    return file


def crops_and_boxes(path: Path, rule: CropRule, seed: int) -> list[tuple[np.ndarray, tuple[int, ...]]]:
    """Return ten crops, (SIZE, SIZE, 3), with their (top, left, height, width)."""
    into = torch.empty((10, 3, SIZE, SIZE), dtype=torch.uint8)
    random_crops(path, into, rule, generator_of(seed))
    boxes = zip(
        *(side.int().tolist() for side in draw_crops(10, (90, 120), rule, generator_of(seed))), strict=True
    )
    return list(zip(into.permute(0, 2, 3, 1).int().numpy(), boxes, strict=True))


@pytest.mark.parametrize("seed", range(10))
def test_crops_drawn_as_in_torchvision_are_torchvisions(path: Path, seed: int) -> None:
    image = Image.open(path).convert("RGB")
    for crop, box in crops_and_boxes(path, CropRule(SCALE, fit="redraw"), seed):
        different = np.abs(crop - np.asarray(functional.resized_crop(image, *box, [SIZE, SIZE])))
        assert different.max() <= 2 and (different > 1).sum() <= 1


@pytest.mark.parametrize("seed", range(10))
def test_crops_that_are_cut_to_the_image_are_boxes_that_pillow_resizes(path: Path, seed: int) -> None:
    image = Image.open(path).convert("RGB")
    for crop, (top, left, tall, wide) in crops_and_boxes(path, CropRule(SCALE), seed):
        box = (left, top, left + wide, top + tall)
        different = np.abs(crop - np.asarray(image.resize((SIZE, SIZE), BILINEAR, box=box)))
        assert different.max() <= 2 and (different[1:-1, 1:-1] > 1).sum() <= 1
