"""Every batched operation against torchvision's on single images."""

from typing import Any

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from mmbench.checkpoints.card import Preprocessing
from mmbench.images.crop_rule import CropRule
from mmbench.images.crops import Crops, crops_by_matrices, draw_crops
from mmbench.images.resample import apply_matrices, blur_matrix, resize_matrix
from mmbench.pretrain import colour
from mmbench.pretrain.augment import Augment, blur_kernel_size
from mmbench.pretrain.section_settings import AugmentationSettings

CPU = torch.device("cpu")
UINT8 = torch.randint(0, 256, (9, 3, 40, 36), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
IMAGES = UINT8.float() / 255
OFF: dict[str, Any] = {"flip": 0, "jitter": 0, "grayscale": 0, "blur": 0}


@pytest.mark.parametrize(
    ("ours", "theirs", "low", "high"),
    [
        (colour.adjust_brightness, reference.adjust_brightness, 0.4, 1.6),
        (colour.adjust_contrast, reference.adjust_contrast, 0.4, 1.6),
        (colour.adjust_saturation, reference.adjust_saturation, 0.4, 1.6),
        (colour.adjust_hue, reference.adjust_hue, -0.5, 0.5),
    ],
)
def test_colour_operations(ours: Any, theirs: Any, low: float, high: float) -> None:
    factors = torch.linspace(low, high, len(IMAGES))
    expected = torch.stack(
        [theirs(image, factor.item()) for image, factor in zip(IMAGES, factors, strict=True)]
    )
    assert torch.allclose(ours(IMAGES.clone(), factors), expected, atol=2e-5)


def test_hue_of_gray_and_of_pure_colours() -> None:
    pure = torch.eye(3).view(3, 3, 1, 1)
    third = torch.full((3,), 1 / 3)
    assert torch.allclose(colour.adjust_hue(pure.clone(), third), pure.roll(-1, 0), atol=1e-6)
    gray = torch.full((1, 3, 2, 2), 0.3)
    assert torch.allclose(colour.adjust_hue(gray.clone(), torch.tensor([0.2])), gray)


def test_grayscale_of_the_chosen_only() -> None:
    chosen = torch.arange(len(IMAGES)) % 2 == 0
    views = colour.grayscale(IMAGES.clone(), chosen)
    for image, view, gray in zip(IMAGES, views, chosen, strict=True):
        expected = reference.rgb_to_grayscale(image, 3) if gray else image
        assert torch.allclose(view, expected, atol=1e-5)


@pytest.mark.parametrize(("kernel", "size"), [(3, 32), (5, 16), (23, 48)])
def test_blur(kernel: int, size: int) -> None:
    images = torch.rand((6, 3, size, size), generator=torch.Generator().manual_seed(1))
    sigma = torch.tensor([0.1, 0.3, 0.7, 1.0, 1.5, 2.0])
    matrix = blur_matrix(sigma, size, kernel)
    views = apply_matrices(images, matrix, matrix)
    for image, view, one in zip(images, views, sigma.tolist(), strict=True):
        assert torch.allclose(view, reference.gaussian_blur(image, [kernel, kernel], [one, one]), atol=2e-6)


def test_no_blur_is_the_identity() -> None:
    assert torch.allclose(blur_matrix(torch.zeros(2), 9, 3), torch.eye(9).expand(2, 9, 9))


def test_crop_resize_and_flip() -> None:
    crops = draw_crops(len(UINT8), (40, 36), CropRule((0.1, 1.0)), torch.Generator().manual_seed(3))
    flipped = torch.arange(len(UINT8)) % 2 == 0
    views = crops_by_matrices(UINT8, crops, 32, flipped)
    for index, (image, view) in enumerate(zip(IMAGES, views, strict=True)):
        box = [int(value[index]) for value in crops]
        expected = reference.resized_crop(image, *box, [32, 32], antialias=True)
        expected = reference.horizontal_flip(expected) if flipped[index] else expected
        assert torch.allclose(view, expected, atol=2e-5)


def test_rows_of_a_resize_matrix_add_up_to_one_and_stay_inside_the_crop() -> None:
    matrix = resize_matrix(torch.tensor([3.0, 0.0]), torch.tensor([5.0, 40.0]), 40, 32)
    assert torch.allclose(matrix.sum(2), torch.ones(2, 32))
    assert matrix[0, :, :3].abs().sum() == 0
    assert matrix[0, :, 8:].abs().sum() == 0


def test_a_mirrored_line_has_the_matrix_of_the_line_in_reverse() -> None:
    start, length = torch.tensor([3.0, 0.0, 7.0]), torch.tensor([5.0, 40.0, 21.0])
    plain = resize_matrix(start, length, 40, 32)
    mirrored = resize_matrix(start, length, 40, 32, torch.tensor([True, False, True]))
    assert torch.equal(mirrored, torch.stack([plain[0].flip(0), plain[1], plain[2].flip(0)]))


def test_crops_have_the_asked_areas_and_aspects_and_lie_inside() -> None:
    settings = AugmentationSettings(crop_scale=(0.3, 1.0))
    generator = torch.Generator().manual_seed(0)
    crops: Crops = draw_crops(4000, (400, 400), settings.crop_rule(), generator)
    assert (crops.top >= 0).all()
    assert (crops.top + crops.height <= 400).all()
    assert (crops.left + crops.width <= 400).all()
    area = crops.height * crops.width / 400**2
    assert 0.29 < area.min().item() < 0.32
    small = area < 0.7  # there nothing had to be cut to the image's side
    aspect = (crops.width / crops.height)[small]
    assert aspect.min().item() == pytest.approx(3 / 4, abs=0.02)
    assert aspect.max().item() == pytest.approx(4 / 3, abs=0.02)
    assert aspect.log().mean().item() == pytest.approx(0, abs=0.02)


def test_each_image_has_its_own_parameters_and_the_generator_decides() -> None:
    augment = Augment(AugmentationSettings(), Preprocessing(image_size=32), CPU)
    same = UINT8[:1].expand(70, -1, -1, -1)
    views = augment(same, torch.Generator().manual_seed(0))
    assert views.shape == (70, 3, 32, 32)
    assert len(views.flatten(1).unique(dim=0)) == 70
    assert torch.equal(views, augment(same, torch.Generator().manual_seed(0)))
    assert views.is_contiguous(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(0)  # 64 images are worked on at a time
    assert torch.equal(views, torch.cat([augment(same[:64], generator), augment(same[64:], generator)]))


def test_without_any_change_a_view_is_the_normalised_image() -> None:
    settings = AugmentationSettings(**OFF, crop_scale=(1.0, 1.0), crop_aspect=(1.0, 1.0))
    square = UINT8[:, :, :32, :32]
    view = Augment(settings, Preprocessing(image_size=32), CPU)(square, torch.Generator().manual_seed(0))
    expected = reference.normalize(square.float() / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    assert torch.allclose(view, expected, atol=1e-5)


def test_probabilities_are_kept() -> None:
    settings = AugmentationSettings(**{**OFF, "grayscale": 0.2}, crop_scale=(1, 1), crop_aspect=(1, 1))
    images = UINT8[:1, :, :32, :32].expand(3000, -1, -1, -1)
    identity = Preprocessing(image_size=32, mean=(0, 0, 0), std=(1, 1, 1))
    views = Augment(settings, identity, CPU)(images, torch.Generator().manual_seed(0))
    gray = (views[:, 0] == views[:, 1]).flatten(1).all(1)
    assert gray.float().mean().item() == pytest.approx(0.2, abs=0.03)


def test_images_that_do_not_fit_are_refused() -> None:
    augment, generator = Augment(AugmentationSettings(), Preprocessing(image_size=32), CPU), torch.Generator()
    with pytest.raises(ValueError, match="40 x 36 px are not of 32 px"):
        augment(UINT8, generator, cropped=True)
    with pytest.raises(ValueError, match="1 channels"):
        augment(UINT8[:, :1], generator)


def test_blur_kernels() -> None:
    assert [blur_kernel_size(size) for size in (16, 32, 96, 224)] == [3, 3, 9, 23]


@pytest.mark.parametrize("bad", [{"crop_scale": (0.5, 2)}, {"blur_sigma": (2, 1)}, {"hue": 0.7}])
def test_impossible_settings_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        AugmentationSettings(**bad)
