"""Our backbones are timm's: every option that timm's ResNets take works, and names are torchvision's."""

from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

import mmbench.backbones  # noqa: F401  (registers)

DEPTHS = (18, 34, 50, 101)
NAMES = ["mixmask_resnet8", "mixmask_resnet152", *(f"mixmask_wide_resnet{d}_2" for d in (50, 101))]
NAMES += [*(f"mixmask_resnet{d}{stem}" for d in DEPTHS for stem in ("", "_cifar"))]


def test_timm_lists_exactly_our_models() -> None:
    assert sorted(timm.list_models("mixmask*")) == sorted(NAMES)


@pytest.mark.parametrize(
    "name", [*(f"resnet{d}" for d in (*DEPTHS, 152)), "wide_resnet50_2", "wide_resnet101_2"]
)
def test_state_dict_is_torchvisions(name: str) -> None:
    ours = timm.create_model(f"mixmask_{name}", num_classes=1000).state_dict()
    theirs = getattr(torchvision.models, name)().state_dict()
    assert {n: t.shape for n, t in ours.items()} == {n: t.shape for n, t in theirs.items()}


def test_outputs_equal_torchvisions() -> None:
    ours = timm.create_model("mixmask_resnet18", num_classes=1000).eval()
    theirs = torchvision.models.resnet18().eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 64, 64)
    assert torch.allclose(ours(images), theirs(images), atol=1e-5)


@pytest.mark.parametrize("name", ["mixmask_resnet8", "mixmask_resnet18", "mixmask_resnet18_cifar"])
def test_features_only_gives_what_feature_info_promises(name: str) -> None:
    model = timm.create_model(name, features_only=True).eval()
    images = torch.randn(1, 3, 64, 64)
    maps = model(images)
    assert [m.shape[1] for m in maps] == model.feature_info.channels()
    assert [64 // m.shape[-1] for m in maps] == model.feature_info.reduction()


def test_original_networks_stride_in_the_first_convolution_of_a_block() -> None:
    model = timm.create_model("msra_resnet50", features_only=True)
    for stage in (2, 3, 4):
        first = model[f"layer{stage}"][0]
        assert (first.conv1.stride, first.conv2.stride) == ((2, 2), (1, 1))
    maps = model(torch.randn(1, 3, 64, 64))
    assert [64 // m.shape[-1] for m in maps] == model.feature_info.reduction()


def test_small_network_is_the_one_described() -> None:
    model = timm.create_model("mixmask_resnet8")
    assert isinstance(model.layer4, nn.Identity) and isinstance(model.maxpool, nn.Identity)
    assert model.conv1.kernel_size == (3, 3) and model.conv1.stride == (2, 2)
    assert [getattr(model, f"layer{i}")[0].conv2.out_channels for i in (1, 2, 3)] == [32, 64, 128]
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 128)


@pytest.mark.parametrize("name", ["mixmask_resnet8", "mixmask_resnet18_cifar"])
def test_num_classes_and_in_chans(name: str) -> None:
    model = timm.create_model(name, num_classes=7, in_chans=1)
    assert model(torch.randn(2, 1, 32, 32)).shape == (2, 7)
    assert model.get_classifier().out_features == 7
    model.reset_classifier(3)
    assert model(torch.randn(2, 1, 32, 32)).shape == (2, 3)


def test_checkpoint_path_loads_a_headless_file_as_it_is(tmp_path: Path) -> None:
    source = timm.create_model("mixmask_resnet8")
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    loaded = timm.create_model("mixmask_resnet8", checkpoint_path=tmp_path / "model.safetensors")
    for name, tensor in source.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])


def test_no_residual_branch_starts_at_zero() -> None:
    model = timm.create_model("mixmask_resnet50")
    last_norms = [m.bn3.weight for m in model.modules() if hasattr(m, "bn3")]
    assert len(last_norms) == 16 and all(weight.abs().min() > 0 for weight in last_norms)
