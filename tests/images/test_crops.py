"""Random crops: those that do not fit are cut, or drawn again as torchvision's RandomResizedCrop does."""

from __future__ import annotations

import math

import pytest
import torch
from PIL import Image
from torch import Generator, Tensor
from torchvision.transforms import RandomResizedCrop

from mmbench.images.crop_rule import ASPECT, CropRule
from mmbench.images.crops import TRIES, Crops, draw_crops

SOURCES = [(224, 224), (375, 500), (1080, 1920), (512, 256), (40, 200), (9, 7), (1, 1), (3, 400)]


def inside(crops: Crops, source: tuple[int, int]) -> bool:
    height, width = source
    sides = (crops.height >= 1) & (crops.width >= 1)
    down = (crops.top >= 0) & (crops.top + crops.height <= height)
    across = (crops.left >= 0) & (crops.left + crops.width <= width)
    return bool((sides & down & across).all())


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("scale", [(0.08, 1.0), (0.2, 1.0), (1.0, 1.0)])
def test_the_first_of_ten_draws_that_fits_is_taken(
    source: tuple[int, int], scale: tuple[float, float]
) -> None:
    """The same draws, one image after another, by torchvision's formula."""
    crops = draw_crops(50, source, CropRule(scale, fit="redraw"), Generator().manual_seed(3))
    assert inside(crops, source)
    draws = torch.rand((4, TRIES, 50), generator=Generator().manual_seed(3))
    height, width = source
    for image in range(50):
        for turn in range(TRIES):
            area, shape, down, across = draws[:, turn, image].tolist()
            pixels = height * width * (scale[0] + area * (scale[1] - scale[0]))
            ratio = math.exp(math.log(3 / 4) + shape * (math.log(4 / 3) - math.log(3 / 4)))
            wide, tall = math.sqrt(pixels * ratio), math.sqrt(pixels / ratio)
            if any(abs(side % 1 - 0.5) < 1e-4 for side in (wide, tall)):
                break  # float32 may round the other way
            if 0 < round(wide) <= width and 0 < round(tall) <= height:
                found = [float(field[image]) for field in crops]
                assert found[2:] == [round(tall), round(wide)]
                assert found[0] == pytest.approx(down * (height - round(tall) + 1), abs=1.001)
                assert found[1] == pytest.approx(across * (width - round(wide) + 1), abs=1.001)
                break


@pytest.mark.parametrize("source", [(30, 300), (300, 30), (100, 100), (90, 100), (1, 7), (5, 1)])
def test_where_nothing_fits_the_centre_is_taken_as_by_torchvision(source: tuple[int, int]) -> None:
    """More than the whole area never fits."""
    found = draw_crops(3, source, CropRule((4.0, 4.0), fit="redraw"), Generator().manual_seed(0))
    theirs = RandomResizedCrop.get_params(Image.new("L", source[::-1]), [4.0, 4.0], list(ASPECT))
    for image in range(3):
        assert [int(field[image]) for field in found] == list(theirs)


@pytest.mark.parametrize("source", [(224, 224), (375, 500), (1080, 1920), (40, 200)])
def test_areas_shapes_and_places_are_distributed_as_torchvisions(source: tuple[int, int]) -> None:
    count, scale, image = 4000, (0.2, 1.0), Image.new("L", source[::-1])
    torch.manual_seed(7)
    theirs = Crops(
        *torch.tensor(
            [RandomResizedCrop.get_params(image, list(scale), list(ASPECT)) for _ in range(count)]
        ).T.float()
    )
    ours = draw_crops(count, source, CropRule(scale, fit="redraw"), Generator().manual_seed(8))

    def facts(crops: Crops) -> list[Tensor]:
        height, width = source
        area = crops.height * crops.width / (height * width)
        whole = (crops.height == height) | (crops.width == width)
        middle = (crops.left + crops.width / 2) / width, (crops.top + crops.height / 2) / height
        return [area, area**2, (crops.width / crops.height).log(), whole.float(), *middle]

    for mine, other in zip(facts(ours), facts(theirs), strict=True):
        error = math.sqrt((float(mine.var()) + float(other.var())) / count)
        assert abs(float(mine.mean() - other.mean())) < 4.5 * error + 1e-6


def test_only_cut_crops_leave_the_range_of_shapes() -> None:
    source = (1080, 1920)
    cut = draw_crops(2000, source, CropRule((0.2, 1.0)), Generator().manual_seed(1))
    drawn = draw_crops(2000, source, CropRule((0.2, 1.0), fit="redraw"), Generator().manual_seed(1))
    assert inside(cut, source) and inside(drawn, source)
    assert float((cut.width / cut.height).max()) > 1.5
    assert 1.3 < float((drawn.width / drawn.height).max()) < 1.34


def test_cut_crops_are_those_of_earlier_versions() -> None:
    """One draw of each number, whose side is shortened to the image's."""
    draws = torch.rand((4, 300), generator=Generator().manual_seed(2))
    crops = draw_crops(300, (60, 90), CropRule((0.2, 1.0)), Generator().manual_seed(2))
    for image in range(300):
        area, shape, down, across = draws[:, image].tolist()
        pixels, ratio = 5400 * (0.2 + 0.8 * area), math.exp(math.log(3 / 4) + shape * 2 * math.log(4 / 3))
        tall, wide = min(60, round(math.sqrt(pixels / ratio))), min(90, round(math.sqrt(pixels * ratio)))
        assert float(crops.height[image]) == pytest.approx(tall, abs=1)
        assert float(crops.width[image]) == pytest.approx(wide, abs=1)
        assert float(crops.top[image]) == pytest.approx(down * (61 - tall), abs=2)
        assert float(crops.left[image]) == pytest.approx(across * (91 - wide), abs=2)
