"""Options that leave names and shapes as they are, and the high-pass filter inside the network."""

import itertools
from typing import Any

import pytest
import timm
import torch
from timm.models.resnet import Bottleneck
from torch import Tensor, nn

import mmbench.backbones  # noqa: F401  (registers)
from mmbench.checkpoints.card import HighPass
from mmbench.images.preprocessing import high_pass
from mmbench.resnets import HighPassFilter

FILTER = (3, 0.7)
SMALL = ("mixmask_resnet8", "mixmask_resnet18_cifar")


def pair(arch: str, **options: Any) -> tuple[nn.Module, nn.Module]:
    """The network without and with the options, from the same random numbers."""
    models = []
    for given in ({}, options):
        torch.manual_seed(3)
        models.append(timm.create_model(arch, num_classes=0, **given).eval())
    return models[0], models[1]


def images(side: int = 32) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("arch", [*SMALL, "mixmask_resnet18", "mixmask_wide_resnet50_2", "msra_resnet50"])
def test_the_filter_in_the_network_is_the_filter_before_it(arch: str) -> None:
    without, within = pair(arch, high_pass=FILTER)
    assert list(without.state_dict()) == list(within.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(*(m.state_dict().values() for m in (without, within)), strict=True)
    )
    filtered = high_pass(images(), HighPass(kernel_size=3, sigma=0.7))
    with torch.inference_mode():
        assert torch.equal(within(images()), without(filtered))
        assert not torch.allclose(within(images()), without(images()), rtol=0.01)
        for ours, theirs in zip(
            within.forward_intermediates(images())[1],
            without.forward_intermediates(filtered)[1],
            strict=True,
        ):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("extractor", ["list", "dict", "hook", "getter"])
def test_every_extractor_of_timm_applies_the_filter(extractor: str) -> None:
    without, within = pair(
        "mixmask_resnet18_cifar", high_pass=FILTER, features_only=True, feature_cls=extractor
    )
    inside = within.state_dict()
    state = {name.removeprefix("model.").removeprefix("body."): tensor for name, tensor in inside.items()}
    without.load_state_dict(state)
    expected = without.forward_intermediates(high_pass(images(), HighPass(kernel_size=3, sigma=0.7)))[1]
    with torch.inference_mode():
        found = within(images())
    found = list(found.values()) if isinstance(found, dict) else found
    assert len(found) == 5
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_the_filter_computes_in_float32_under_autocast() -> None:
    layer = HighPassFilter(*FILTER)
    expected = high_pass(images(), HighPass(kernel_size=3, sigma=0.7))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(images()), expected)
    assert layer(images().bfloat16()).dtype == torch.bfloat16
    assert not list(layer.parameters()) and not list(layer.buffers())


@pytest.mark.parametrize(
    "given", [(4, 1.0), (0, 1.0), (3, 0.0), (3, float("nan")), (3, -1.0), (2.5, 1.0), (3,)]
)
def test_an_impossible_filter_is_refused(given: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="high_pass"):
        timm.create_model("mixmask_resnet8", high_pass=given)


@pytest.mark.parametrize("arch", SMALL)
def test_options_of_a_small_stem(arch: str) -> None:
    without, padded = pair(arch, stem_padding=2)
    assert {n: t.shape for n, t in without.state_dict().items()} == {
        n: t.shape for n, t in padded.state_dict().items()
    }
    with torch.inference_mode():
        plain_stem, wide_stem = (m.forward_intermediates(images())[1][0] for m in (without, padded))
        own = nn.functional.conv2d(images(), padded.conv1.weight, stride=padded.conv1.stride, padding=2)
        assert torch.allclose(padded.conv1(images()), own, atol=1e-6)
    assert wide_stem.shape[-1] > plain_stem.shape[-1]
    _, pooled = pair(arch, stem_pool=True)
    before = [info["reduction"] for info in without.feature_info]
    after = [info["reduction"] for info in pooled.feature_info]
    assert after == [before[0], *(2 * stride for stride in before[1:])]
    with torch.inference_mode():
        maps = pooled.forward_intermediates(images(64))[1][: len(after)]
    assert [64 // stride for stride in after] == [m.shape[-1] for m in maps]


def test_early_stride_is_the_msra_network() -> None:
    torch.manual_seed(0)
    ours = timm.create_model("mixmask_resnet50", early_stride=True).eval()
    msra = timm.create_model("msra_resnet50").eval()
    msra.load_state_dict(ours.state_dict())
    late = timm.create_model("msra_resnet50", early_stride=False).eval()
    late.load_state_dict(ours.state_dict())
    with torch.inference_mode():
        assert torch.equal(ours(images(64)), msra(images(64)))
        assert not torch.allclose(ours(images(64)), late(images(64)), rtol=0.01)
    strides = [(b.conv1.stride, b.conv2.stride) for b in ours.modules() if isinstance(b, Bottleneck)]
    assert strides.count(((2, 2), (1, 1))) == 3


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_dilated_stages_keep_their_resolution(stride: int) -> None:
    model = timm.create_model("mixmask_resnet18", output_stride=stride, high_pass=FILTER).eval()
    with torch.inference_mode():
        assert model.forward_features(images(64)).shape[-1] == 64 // stride


def test_a_7_x_7_stem_without_pooling() -> None:
    model = timm.create_model("mixmask_resnet18", stem_pool=False).eval()
    with torch.inference_mode():
        sides = [m.shape[-1] for m in model.forward_intermediates(images(64))[1]]
    assert sides == [64 // info["reduction"] for info in model.feature_info] == [32, 32, 16, 8, 4]


IMPOSSIBLE = [
    ("mixmask_resnet18", {"stem_padding": 2}),
    ("mixmask_resnet18", {"early_stride": True}),
    ("mixmask_resnet18_cifar", {"stem_padding": 0}),
    ("mixmask_resnet8", {"output_stride": 16}),
]


@pytest.mark.parametrize(("arch", "options"), IMPOSSIBLE)
def test_options_that_a_network_cannot_have_are_refused(arch: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        timm.create_model(arch, **options)


def test_options_and_filter_are_independent() -> None:
    for padding, pool in itertools.product((1, 2), (False, True)):
        without, within = pair(
            "mixmask_resnet18_cifar", high_pass=FILTER, stem_padding=padding, stem_pool=pool
        )
        assert list(without.state_dict()) == list(within.state_dict())
        assert within.conv1.padding == (padding, padding)
