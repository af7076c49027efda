"""The controls: random weights with fair batch-norm statistics, and raw pixels."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mmbench.checkpoints.backbone import random_backbone
from mmbench.checkpoints.card import Preprocessing
from mmbench.data import Dataset, ImageSplit
from mmbench.errors import UserError
from mmbench.images.preprocessing import Preprocess, centre_crop, high_pass, high_pass_for
from mmbench.transfer.compute import Compute
from mmbench.transfer.controls import pixels_backbone, recalibrated_random_backbone
from mmbench.transfer.inputs.features import FrozenNetwork
from mmbench.transfer.loading import load_model

ARCH = "mixmask_resnet8"


def prepared(images: Tensor) -> Tensor:
    return Preprocess(Preprocessing(image_size=16))(centre_crop(images, 16))


def test_only_the_statistics_differ_from_plain_random_weights(gratings: Dataset) -> None:
    plain = random_backbone(ARCH, 4, Preprocessing(image_size=16))
    control = recalibrated_random_backbone(ARCH, 4, gratings)
    assert control.state_dict.keys() == plain.state_dict.keys()
    changed = {
        name for name, tensor in plain.state_dict.items() if not torch.equal(tensor, control.state_dict[name])
    }
    assert changed == {name for name in plain.state_dict if "running" in name or "num_batches" in name}


def test_the_statistics_are_those_of_the_training_images(gratings: Dataset) -> None:
    """120 images are one batch: mean and variance of the first convolution's output over all of them."""
    control = recalibrated_random_backbone(ARCH, 4, gratings)
    conv1 = nn.functional.conv2d(
        prepared(gratings.split("train").images), control.state_dict["conv1.weight"], stride=2, padding=1
    )
    mean, variance = conv1.mean(dim=(0, 2, 3)), conv1.var(dim=(0, 2, 3))
    torch.testing.assert_close(control.state_dict["bn1.running_mean"], mean, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(control.state_dict["bn1.running_var"], variance, rtol=1e-3, atol=1e-4)


def test_every_layer_is_normalised_on_unseen_images(gratings: Dataset) -> None:
    network = FrozenNetwork(recalibrated_random_backbone(ARCH, 0, gratings), Compute(torch.device("cpu")))
    outputs: dict[str, Tensor] = {}
    for name, module in network.network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            # Cloned, since the activation and the shortcut work in place.
            module.register_forward_hook(
                lambda m, i, output, name=name: outputs.update({name: output.clone()})
            )
    network(centre_crop(gratings.split("test").images, 16))
    assert len(outputs) > 6
    for name, output in outputs.items():
        assert output.mean() == pytest.approx(0, abs=0.1), name
        assert output.std(dim=(0, 2, 3)).mean() == pytest.approx(1, rel=0.2), name


def test_statistics_come_from_every_class(gratings: Dataset) -> None:
    """Image folders are sorted by class; the first thousand images would be of a few classes only."""
    dark = ImageSplit(torch.zeros(2000, 3, 20, 20, dtype=torch.uint8), torch.zeros(2000).long())
    bright = torch.full_like(dark.images, 255)
    images = ImageSplit(torch.cat([dark.images, bright]), torch.arange(4000) // 2000)
    dataset = replace(gratings, splits={"train": lambda: images})
    control = recalibrated_random_backbone(ARCH, 0, dataset)
    conv1 = nn.functional.conv2d(
        prepared(images.images[[0, -1]]), control.state_dict["conv1.weight"], stride=2, padding=1
    )
    halfway = conv1.mean(dim=(0, 2, 3))
    spread = (conv1[1] - conv1[0]).mean(dim=(1, 2)).abs()
    assert ((control.state_dict["bn1.running_mean"] - halfway).abs() < 0.1 * spread + 1e-3).all()


def test_the_filtered_control_has_the_same_weights_behind_the_filter(gratings: Dataset) -> None:
    plain = load_model("random", ARCH, gratings, 3)
    filtered = load_model("random-high-pass", ARCH, gratings, 3)
    filter_ = high_pass_for(gratings.image_size)
    assert (filtered.card.arm, filtered.card.preprocessing.high_pass) == ("random-high-pass", filter_)
    assert torch.equal(filtered.state_dict["conv1.weight"], plain.state_dict["conv1.weight"])
    images = high_pass(prepared(gratings.split("train").images), filter_)
    conv1 = nn.functional.conv2d(images, plain.state_dict["conv1.weight"], stride=2, padding=1)
    variance = conv1.var(dim=(0, 2, 3))
    torch.testing.assert_close(filtered.state_dict["bn1.running_var"], variance, rtol=1e-3, atol=1e-4)


def test_the_control_depends_on_its_seed_alone(gratings: Dataset) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first = recalibrated_random_backbone(ARCH, 1, gratings)
    assert torch.equal(torch.rand(3), expected)
    again, other = (recalibrated_random_backbone(ARCH, seed, gratings) for seed in (1, 2))
    assert all(torch.equal(first.state_dict[name], again.state_dict[name]) for name in first.state_dict)
    assert first.card == again.card and first.card.digest != other.card.digest
    assert not torch.equal(first.state_dict["conv1.weight"], other.state_dict["conv1.weight"])


def test_the_cards_tell_what_was_done(gratings: Dataset) -> None:
    card = recalibrated_random_backbone(ARCH, 1, gratings).card
    assert card.origins["batch_norm"] == "statistics of 120 random unlabelled training images of gratings"
    assert (card.arm, card.epochs, card.seed, card.preprocessing.image_size) == ("random", 0, 1, 16)
    pixels = pixels_backbone(16).card
    assert (pixels.arm, pixels.epochs, pixels.source_format) == ("pixels", 0, "pixels")


def test_backbones_are_loaded_by_their_names(gratings: Dataset) -> None:
    assert load_model("pixels", None, gratings, 0).card.arm == "pixels"
    assert load_model("random", ARCH, gratings, 7).card.seed == 7
    with pytest.raises(UserError, match="random weights need an architecture; add --arch"):
        load_model("random", None, gratings, 0)
    with pytest.raises(UserError, match="unknown architecture 'mixmask_resnet9'; did you mean"):
        load_model("random", "mixmask_resnet9", gratings, 0)


@pytest.mark.parametrize("size", [28, 33])
def test_a_size_that_a_network_cannot_take_is_said_in_one_line(gratings: Dataset, size: int) -> None:
    """DLA adds maps of several scales, which odd sizes make unequal."""
    refused = rf"dla46x_c does not take images of {size} px \(The size .*--image-size"
    with pytest.raises(UserError, match=refused):
        recalibrated_random_backbone("dla46x_c", 0, gratings, image_size=size)
    backbone = random_backbone("dla46x_c", 0, Preprocessing(image_size=size))
    with pytest.raises(UserError, match=refused):
        FrozenNetwork(backbone, Compute(torch.device("cpu")))
