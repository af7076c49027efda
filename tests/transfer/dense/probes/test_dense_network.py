"""The frozen network of dense probes: the same weights, whatever its stride, and maps as timm gives them."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone, create_headless, random_backbone
from mmbench.checkpoints.card import HighPass, Preprocessing
from mmbench.errors import UserError
from mmbench.images.preprocessing import high_pass
from mmbench.transfer.compute import Compute
from mmbench.transfer.controls import pixels_backbone
from mmbench.transfer.dense.probes.network import DenseNetwork
from mmbench.transfer.encoder import model_of_encoder
from mmbench.transfer.module_encoder import model_of_module

CPU = Compute(torch.device("cpu"))
PLAIN = Preprocessing(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), image_size=224)


def images_of(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(256, (2, 3, height, width), generator=generator, dtype=torch.uint8)


def normalised(images: Tensor, preprocessing: Preprocessing) -> Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return (images.float() / 255 - mean) / std


def test_a_dilated_resnet_has_the_weights_of_the_checkpoint() -> None:
    backbone = random_backbone("resnet18", 0, PLAIN)
    network = DenseNetwork(backbone, CPU, 16)
    assert network.stride == 16 and network.width == 512 and network.multiple == 1
    assert "dilated from stride 32" in network.notes[0]
    held = network.network.state_dict()
    assert held.keys() == backbone.state_dict.keys()
    assert all(torch.equal(held[name], tensor) for name, tensor in backbone.state_dict.items())
    assert network.maps(images_of(64, 96)).shape == (2, 512, 4, 6)
    network.check_frozen()

    dilated = timm.create_model("resnet18", num_classes=0, output_stride=16)
    dilated.load_state_dict(backbone.state_dict)
    expected = dilated.eval().forward_features(normalised(images_of(64, 96), PLAIN))
    assert torch.allclose(network.maps(images_of(64, 96)), expected, atol=1e-5)
    # Up to layer3 nothing is dilated: with stride 32 the same network is timm's own.
    whole = DenseNetwork(backbone, CPU, 32)
    plain = create_headless("resnet18")
    plain.load_state_dict(backbone.state_dict)
    expected = plain.eval().forward_features(normalised(images_of(64, 96), PLAIN))
    assert whole.stride == 32 and torch.allclose(whole.maps(images_of(64, 96)), expected, atol=1e-5)


def test_a_network_of_fine_stride_stays_as_it_is(small: Backbone) -> None:
    network = DenseNetwork(small, CPU, 16)
    assert (network.stride, network.width) == (8, 128) and "dilated" not in network.notes[0]


@pytest.mark.parametrize(("arch", "patch"), [("vit_tiny_patch16_224", 16), ("vit_small_patch14_dinov2", 14)])
def test_patch_tokens_are_those_of_timm(arch: str, patch: int) -> None:
    backbone = random_backbone(arch, 0, PLAIN)
    network = DenseNetwork(backbone, CPU)
    assert network.stride == network.multiple == patch and network.fitted(512) == 512 // patch * patch
    images = images_of(2 * patch, 3 * patch)
    model = timm.create_model(arch, num_classes=0, dynamic_img_size=True)
    model.load_state_dict(backbone.state_dict)
    (expected,) = model.eval().get_intermediate_layers(
        normalised(images, PLAIN), n=1, reshape=True, norm=True
    )
    assert expected.shape[-2:] == (2, 3)
    assert torch.allclose(network.maps(images), expected, atol=1e-5)
    network.check_frozen()


def test_the_filter_of_the_card_comes_before_the_network() -> None:
    filtered = PLAIN.model_copy(update={"high_pass": HighPass(kernel_size=5, sigma=1.5)})
    backbone = random_backbone("mixmask_resnet8", 0, filtered)
    network = DenseNetwork(backbone, CPU)
    model = backbone.build().eval()
    assert filtered.high_pass is not None
    images = high_pass(normalised(images_of(32, 32), PLAIN), filtered.high_pass)
    with torch.no_grad():
        expected = model.forward_features(images)  # type: ignore[operator]
    assert torch.allclose(network.maps(images_of(32, 32)), expected, atol=1e-5)
    assert any("high-passed" in note for note in network.notes)


def test_a_trained_backbone_is_noticed(small: Backbone) -> None:
    network = DenseNetwork(small, CPU)
    with torch.no_grad():
        next(network.network.parameters()).add_(1e-3)
    with pytest.raises(RuntimeError, match="the frozen backbone was changed: conv1"):
        network.check_frozen()


def test_pixels_are_those_of_each_square() -> None:
    network = DenseNetwork(pixels_backbone(32), CPU, 8)
    images = images_of(16, 24)
    found = network.maps(images)
    prepared = normalised(images, Preprocessing())
    assert found.shape == (2, 3 * 64, 2, 3)
    corner = found[:, :, 1, 2].reshape(2, 3, 8, 8)
    assert torch.allclose(corner, prepared[:, :, 8:, 16:], atol=1e-6)


class Halves:
    """An encoder whose maps are the means of squares of 2 px."""

    name, identity, preprocessing = "halves", "halves-1", Preprocessing(image_size=8)

    def encode(self, images: Tensor) -> Tensor:
        return self.encode_dense(images).mean(dim=(2, 3))

    def encode_dense(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(images, 2)


class Pooled:
    name, identity, preprocessing = "pooled", "pooled-1", Preprocessing(image_size=8)

    def encode(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


def test_an_encoder_gives_its_own_maps() -> None:
    network = DenseNetwork(model_of_encoder(Halves()), CPU)
    assert (network.stride, network.width, network.multiple) == (2, 3, 2)
    images = images_of(8, 12)
    expected = nn.functional.avg_pool2d(normalised(images, Preprocessing()), 2)
    assert torch.allclose(network.maps(images), expected, atol=1e-6)


def test_a_stride_that_is_not_exact_is_not_stated() -> None:
    found = DenseNetwork(random_backbone("inception_v3", 0, PLAIN), CPU)
    maps = found.maps(torch.zeros(1, 3, 224, 224, dtype=torch.uint8))
    assert maps.shape == (1, 2048, 5, 5)  # its convolutions without padding lose pixels at the border
    assert "inception_v3, 5 x 5 positions of 224 x 224 px, 2048 channels" in found.notes[0]
    assert "stride" not in found.notes[0]
    exact = DenseNetwork(random_backbone("mixmask_resnet8", 0, PLAIN), CPU)
    assert "mixmask_resnet8, stride 8, 128 channels" in exact.notes[0]


def test_an_encoder_without_maps_is_refused() -> None:
    with pytest.raises(UserError, match="encoder pooled has no method encode_dense"):
        DenseNetwork(model_of_encoder(Pooled()), CPU)


def test_networks_that_cannot_be_fed_are_refused() -> None:
    fixed = DenseNetwork(random_backbone("swin_tiny_patch4_window7_224", 0, PLAIN), CPU)
    with pytest.raises(UserError, match="no feature maps of images of 64 x 64 px"):
        fixed.require(64, 64)
    with pytest.raises(UserError, match="no map that is laid out like the image"):
        DenseNetwork(random_backbone("mixer_s32_224", 0, PLAIN), CPU)
    vit = DenseNetwork(random_backbone("vit_tiny_patch16_224", 0, PLAIN), CPU)
    with pytest.raises(UserError, match="images of 15 px are smaller than a patch"):
        vit.fitted(15)


def test_a_module_of_timm_in_an_unusual_form_gives_maps_as_an_encoder() -> None:
    module = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=48).eval()
    network = DenseNetwork(model_of_module(module, preprocessing=Preprocessing(image_size=48)), CPU)
    assert (network.stride, network.width) == (16, 192)
    tokens = module.forward_features(normalised(images_of(48, 48), Preprocessing()))[:, 1:]
    expected = tokens.transpose(1, 2).reshape(2, 192, 3, 3)
    assert torch.allclose(network.maps(images_of(48, 48)), expected, atol=1e-5)
    with pytest.raises(UserError, match="takes no images of 64 x 64 px"):
        network.require(64, 64)
