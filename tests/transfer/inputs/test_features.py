"""Frozen features equal an independent computation; what is frozen stays frozen."""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from running import extract
from torch import Tensor

from mmbench.checkpoints.backbone import Backbone, random_backbone
from mmbench.checkpoints.card import HighPass, Preprocessing
from mmbench.data import Dataset
from mmbench.errors import UserError
from mmbench.transfer.compute import Compute
from mmbench.transfer.controls import pixels_backbone
from mmbench.transfer.inputs.features import FrozenNetwork

CPU = torch.device("cpu")
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def with_preprocessing(backbone: Backbone, preprocessing: Preprocessing) -> Backbone:
    return replace(backbone, card=backbone.card.model_copy(update={"preprocessing": preprocessing}))


def normalised(images: Tensor) -> Tensor:
    """The middle 16 of 20 px, scaled and normalised with plain numpy."""
    cropped = images[:, :, 2:18, 2:18].numpy().astype(np.float64) / 255
    shape = (1, 3, 1, 1)
    return torch.from_numpy((cropped - np.array(MEAN).reshape(shape)) / np.array(STD).reshape(shape)).float()


def high_passed(images: Tensor, kernel_size: int, sigma: float) -> Tensor:
    """x - GaussianBlur(x) with reflected borders, pixel by pixel."""
    half = kernel_size // 2
    taps = np.exp(-0.5 * (np.arange(-half, half + 1) / sigma) ** 2)
    taps /= taps.sum()
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (half, half), (half, half)), mode="reflect")
    blurred = np.zeros(images.shape)
    for row in range(kernel_size):
        for column in range(kernel_size):
            shifted = padded[:, :, row : row + images.shape[2], column : column + images.shape[3]]
            blurred += taps[row] * taps[column] * shifted
    return images - torch.from_numpy(blurred).float()


def reference_features(backbone: Backbone, prepared: Tensor) -> Tensor:
    model = timm.create_model(backbone.arch, num_classes=0)
    model.load_state_dict(backbone.state_dict)
    model.eval()
    with torch.no_grad():
        return torch.cat([model(image.unsqueeze(0)) for image in prepared])


def test_features_equal_those_of_the_plain_timm_model(backbone: Backbone, gratings: Dataset) -> None:
    backbone = with_preprocessing(backbone, Preprocessing(mean=MEAN, std=STD, image_size=16))
    images = gratings.split("val").images[::7]
    features = extract(backbone, images, CPU)
    assert features.dtype == torch.float32 and features.shape == (len(images), 128)
    assert features.device == CPU and not features.is_inference()
    torch.testing.assert_close(
        features, reference_features(backbone, normalised(images)), rtol=1e-4, atol=1e-5
    )


def test_the_high_pass_of_the_card_is_applied(backbone: Backbone, gratings: Dataset) -> None:
    plain = with_preprocessing(backbone, Preprocessing(mean=MEAN, std=STD, image_size=16))
    filtered = with_preprocessing(
        backbone,
        Preprocessing(mean=MEAN, std=STD, image_size=16, high_pass=HighPass(kernel_size=5, sigma=1.3)),
    )
    images = gratings.split("val").images[::7]
    features = extract(filtered, images, CPU)
    expected = reference_features(filtered, high_passed(normalised(images), 5, 1.3))
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    assert (features - extract(plain, images, CPU)).abs().max() > 0.01


def test_pixels_are_the_prepared_pixels(gratings: Dataset) -> None:
    images = gratings.split("val").images
    features = extract(pixels_backbone(16), images, CPU)
    cropped = images[:, :, 2:18, 2:18].double() / 255
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    torch.testing.assert_close(features, ((cropped - mean) / std).flatten(1).float())


def test_the_batch_does_not_matter(backbone: Backbone, gratings: Dataset) -> None:
    images = gratings.split("val").images
    torch.testing.assert_close(extract(backbone, images, CPU, batch=7), extract(backbone, images, CPU))


def test_images_smaller_than_the_card_says_are_enlarged(gratings: Dataset) -> None:
    backbone = random_backbone("mixmask_resnet8", 0, Preprocessing(image_size=32))
    assert extract(backbone, gratings.split("val").images[:2], CPU).shape == (2, 128)


def test_extraction_leaves_the_checkpoint_alone(backbone: Backbone, gratings: Dataset) -> None:
    before = {name: tensor.clone() for name, tensor in backbone.state_dict.items()}
    extract(backbone, gratings.split("val").images, CPU)
    assert all(torch.equal(before[name], tensor) for name, tensor in backbone.state_dict.items())


def test_frozen_networks_have_no_gradients_and_say_when_changed(backbone: Backbone) -> None:
    network = FrozenNetwork(backbone, Compute(CPU))
    network.check_frozen()
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not any(module.training for module in network.modules())
    network.train()
    network(torch.rand(4, 3, 16, 16))
    with pytest.raises(RuntimeError, match="frozen backbone was changed: bn1"):
        network.check_frozen()


def test_damaged_weights_are_refused(backbone: Backbone, gratings: Dataset) -> None:
    backbone.state_dict["conv1.weight"][0, 0, 0, 0] = float("nan")
    with pytest.raises(UserError, match="not finite"):
        extract(backbone, gratings.split("val").images[:2], CPU)
