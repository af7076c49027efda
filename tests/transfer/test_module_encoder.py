"""Modules as people have them: in any precision, compiled or scripted, and with outputs of any kind."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone
from mmbench.checkpoints.card import Preprocessing
from mmbench.errors import UserError
from mmbench.transfer.compute import Compute
from mmbench.transfer.inputs.features import FrozenNetwork
from mmbench.transfer.module_encoder import model_of_module

PLAIN = Preprocessing(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), image_size=16)
IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
Pair = namedtuple("Pair", "features logits")


class Network(nn.Module):
    """A convolution, and what makes its maps the output."""

    def __init__(self, finish: Callable[[Tensor], Any] = lambda maps: maps) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution, self.finish = nn.Conv2d(3, 8, 3, 2), finish

    def forward(self, images: Tensor) -> Any:
        return self.finish(self.convolution(images).relu())


def frozen(model: Backbone) -> FrozenNetwork:
    return FrozenNetwork(model, Compute(torch.device("cpu")))


@torch.no_grad()
def features(module: nn.Module) -> Tensor:
    network = frozen(model_of_module(module, "own", PLAIN))
    found = network(IMAGES)
    network.check_frozen()
    return found


@torch.no_grad()
def expected(module: Network) -> Tensor:
    return module.convolution(IMAGES).relu().mean(dim=(2, 3))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_are_used_in_float32_and_left_as_they_are(kind: torch.dtype) -> None:
    module = Network().to(kind)
    rounded = Network()
    rounded.load_state_dict(module.state_dict())
    assert torch.allclose(features(module), expected(rounded), atol=1e-6)
    assert {parameter.dtype for parameter in module.parameters()} == {kind}


def test_a_module_of_several_types_runs_as_it_is() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = Network(), nn.Linear(8, 4).half()

        def forward(self, images: Tensor) -> Tensor:
            return self.second(self.first(images).mean(dim=(2, 3)).half())

    module = Mixed()
    with torch.no_grad():
        assert torch.allclose(features(module), module(IMAGES).float(), atol=1e-3)


@pytest.mark.filterwarnings("ignore")  # TorchScript is deprecated and in use
@pytest.mark.parametrize(
    "wrapped",
    [
        lambda module: torch.jit.trace(module, IMAGES),
        lambda module: torch.jit.script(nn.Sequential(module.convolution, nn.ReLU())),
        lambda module: torch.compile(module, backend="eager"),
        nn.DataParallel,
    ],
)
def test_scripted_traced_and_compiled_modules(wrapped: Callable[[nn.Module], nn.Module]) -> None:
    module = Network().eval()
    assert torch.allclose(features(wrapped(module)), expected(module), atol=1e-6)
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_a_compiled_model_of_timm_is_the_backbone_itself() -> None:
    module = timm.create_model("resnet10t")
    compiled = model_of_module(torch.compile(module, backend="eager"))
    assert type(compiled) is Backbone and compiled.card == model_of_module(module).card


def test_a_module_without_tensors() -> None:
    assert torch.allclose(features(nn.AvgPool2d(8)), IMAGES.mean(dim=(2, 3)), atol=1e-6)


@pytest.mark.parametrize("kind", [torch.int64, torch.float64, torch.float16])
def test_outputs_of_other_real_types(kind: torch.dtype) -> None:
    module = Network(lambda maps: (100 * maps).to(kind))
    with torch.no_grad():
        assert torch.allclose(features(module), module(IMAGES).float().mean(dim=(2, 3)), rtol=1e-2)


@pytest.mark.filterwarnings("ignore:Casting complex")
@pytest.mark.parametrize(
    ("finish", "named"),
    [
        (lambda maps: [maps, maps], "list of 2 "),
        (lambda maps: Pair(maps, maps), "Pair of 2 "),
        (lambda maps: {"maps": maps}, "dict "),
        (lambda maps: None, "NoneType "),
        (lambda maps: maps.flatten(2), r"a tensor of shape \(1, 8, 49\) "),
        (lambda maps: maps.mean(), r"a tensor of shape \(\) "),
        (lambda maps: maps.mean(dim=(2, 3))[:, :0], r"a tensor of shape \(1, 0\) "),
        (lambda maps: maps.to(torch.complex64), r"complex numbers \(complex64\) "),
        (lambda maps: maps.mean(dim=(2, 3)).to_sparse(), "a sparse tensor "),
    ],
)
def test_outputs_that_are_no_features_are_one_line(finish: Callable[[Tensor], Any], named: str) -> None:
    with pytest.raises(UserError, match=f"^own gave {named}for 1 image; .*put a module around it") as error:
        features(Network(finish))
    assert "\n" not in str(error.value)


def test_unpooled_models_of_timm() -> None:
    """Maps are averaged, as timm pools them; which token of a transformer counts is for its owner to say."""
    torch.manual_seed(0)
    pooled = timm.create_model("resnet10t", num_classes=0)
    unpooled = timm.create_model("resnet10t", num_classes=0, global_pool="")
    unpooled.load_state_dict(pooled.state_dict())
    assert type(model_of_module(unpooled)) is Backbone, "usable by every task"
    last = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0, global_pool="")
    assert type(model_of_module(last)) is Backbone, "channels are last"
    tokens = model_of_module(timm.create_model("vit_tiny_patch16_224", num_classes=0, global_pool=""))
    with pytest.raises(UserError, match=r"\(1, 197, 192\) .* build it with timm's global_pool='token'"):
        frozen(tokens)
    with pytest.raises(UserError, match="FeatureListNet gave list of 5 for 1 image"):
        frozen(model_of_module(timm.create_model("resnet10t", features_only=True)))


def test_a_module_that_takes_other_images_is_called_by_its_name() -> None:
    with pytest.raises(UserError, match=r"^own does not take images of 16 px"):
        features(nn.Conv2d(1, 8, 3))


@pytest.mark.parametrize(
    "full",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_full_memory_is_not_called_an_image_size(full: RuntimeError) -> None:
    class Full(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            raise full

    with pytest.raises(RuntimeError) as caught:
        features(Full())
    assert caught.value is full
