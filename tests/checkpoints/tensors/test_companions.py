"""A library is named only where what lies beside a backbone proves it, and its dilation is known or said."""

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from layouts import LAYOUTS, State, backbone_of, mlp, trained_resnet, under
from torch import nn

from mmbench.checkpoints.assumed import KNOWN_NETWORKS
from mmbench.checkpoints.proof.source_proof import prove_source
from mmbench.checkpoints.reading import read_checkpoint
from mmbench.checkpoints.stated import Stated
from mmbench.checkpoints.tensors.companions import Companions
from mmbench.errors import UserError

DILATION = "dilation: assumed none (--arch-option output_stride=16 or output_stride=8)"


@functools.cache
def resnet(name: str = "resnet50") -> nn.Module:
    return trained_resnet(name).eval()


def images() -> torch.Tensor:
    return torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(6))


def error_of(found: nn.Module, expected: torch.Tensor) -> float:
    with torch.inference_mode():
        ours = found.eval()(images())
    return float((ours - expected).abs().max() / expected.abs().max())


def saved(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "a.pth")
    return folder / "a.pth"


def segmentation(name: str, auxiliary: bool = True) -> tuple[State, torch.Tensor]:
    """A state of torchvision's segmentation network, and pooled features of its own backbone."""
    build = getattr(torchvision.models.segmentation, name)
    model = build(weights=None, weights_backbone=None, num_classes=3, aux_loss=auxiliary).eval()
    model.backbone.load_state_dict(backbone_of(resnet()))
    with torch.inference_mode():
        return model.state_dict(), model.backbone(images())["out"].mean((2, 3))


@pytest.mark.parametrize("name", ["fcn_resnet50", "deeplabv3_resnet50"])
@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_torchvision_s_segmentation_networks_are_read_dilated(name: str, prefix: str, tmp_path: Path) -> None:
    state, expected = segmentation(name, auxiliary=bool(prefix))
    read = read_checkpoint(saved({"epoch": 3, "model": under(prefix, state)}, tmp_path))
    assert read.reading.format == "torchvision-segmentation"
    assert error_of(read.backbone.build(), expected) < 1e-6
    assert read.backbone.card.arch_options == {"output_stride": 8}
    assert [line for line in read.reading.assumed if line.startswith("output_stride=8: as torchvision")]
    proof = prove_source(read)
    assert proof.error is not None and proof.error < 1e-4
    assert "dilated to stride 8" in proof.words and "cannot be told from it" in proof.words


def test_another_stride_can_be_stated_of_a_segmentation_network(tmp_path: Path) -> None:
    state, expected = segmentation("fcn_resnet50")
    path = saved(state, tmp_path)
    for value in (16, 32):
        read = read_checkpoint(path, stated=Stated(arch_options={"output_stride": value}))
        dilated = torchvision.models.resnet50(replace_stride_with_dilation=[False, False, value == 16])
        dilated.fc = nn.Identity()
        dilated.load_state_dict(backbone_of(resnet()))
        with torch.inference_mode():
            assert error_of(read.backbone.build(), dilated.eval()(images())) < 1e-6
        assert error_of(read.backbone.build(), expected) > 0.01
        assert not any("output_stride" in line for line in read.reading.assumed)
        proof = prove_source(read)
        assert proof.error is not None and "cannot be told" not in proof.words
    by_name = read_checkpoint(path, "resnet50")
    assert error_of(by_name.backbone.build(), expected) < 1e-6
    assert any(line.startswith("output_stride=8: as") for line in by_name.reading.assumed)


def convolution(*names: str) -> State:
    return {name: torch.randn(4, 4, 1, 1) for name in names}


def matrix(*names: str) -> State:
    return {name: torch.randn(4, 4) for name in names}


# What lies beside a backbone of this prefix, in files that tell no self-supervised library -> the format.
UNPROVED: list[tuple[str, State, str]] = [
    ("backbone.", {}, "backbone"),
    ("backbone.", matrix("classifier.weight"), "backbone"),  # any supervised network
    ("backbone.", matrix("classifier.0.weight", "classifier.3.weight"), "backbone"),
    ("backbone.", mlp("classifier.") | mlp("projector."), "backbone"),
    ("backbone.", convolution("classifier.aspp.convs.0.0.weight", "classifier.project.0.weight"), "backbone"),
    ("backbone.", convolution("classifier.classifier.0.convs.0.0.weight"), "backbone"),
    ("backbone.", convolution("classifier.weight") | mlp("projector."), "backbone"),
    ("backbone.", matrix("projector.0.weight"), "backbone"),
    ("backbone.", mlp("projector."), "backbone"),
    ("backbone.", convolution("projector.0.weight", "projector.3.weight", "projector.6.weight"), "backbone"),
    ("backbone.", {"bn.running_mean": torch.zeros(4), "bn.weight": torch.ones(4)}, "backbone"),
    ("backbone.", mlp("projection_head."), "torchvision"),
    ("backbone.", convolution("momentum_backbone.conv1.weight", "decode.weight"), "backbone"),
    ("backbone.", convolution("decode_head.conv_seg.weight"), "openmmlab"),
    ("encoder.", {}, "encoder"),
    ("encoder.", mlp("projector."), "encoder"),
    ("encoder.", matrix("encoder.fc.weight"), "encoder"),
    ("encoder.", matrix("classifier.weight"), "encoder"),
    ("encoder.", convolution("decoder.block.weight"), "encoder"),
    (
        "encoder.",
        convolution("decoder.blocks.0.conv1.0.weight", "segmentation_head.0.weight"),
        "segmentation-models-pytorch",
    ),
    ("", convolution("projection_head.0.weight"), "torchvision"),
    ("", mlp("projection_head."), "torchvision"),
]


@pytest.mark.parametrize(("prefix", "beside", "expected"), UNPROVED)
def test_what_proves_no_library_leaves_the_network_open(
    prefix: str, beside: State, expected: str, tmp_path: Path
) -> None:
    read = read_checkpoint(saved(under(prefix, backbone_of(resnet())) | beside, tmp_path))
    assert read.reading.format == expected and expected not in KNOWN_NETWORKS
    assert DILATION in read.reading.assumed and read.backbone.card.method is None
    proof = prove_source(read)
    assert proof.error is None or "cannot be told from it" in proof.words


def test_numbered_modules_alone_are_not_lightly_s(tmp_path: Path) -> None:
    numbered = nn.Sequential(*list(resnet().children())[:-2]).state_dict()
    read = read_checkpoint(saved(under("backbone.", numbered), tmp_path))
    assert read.reading.format == "sequential" and DILATION in read.reading.assumed


@pytest.mark.parametrize(
    ("beside", "options"),
    [
        (matrix("classifier.weight"), {}),
        (mlp("classifier.") | mlp("projector."), {}),
        (matrix("classifier.weight") | mlp("projector."), {"stem_padding": 2}),
    ],
)
def test_only_solo_learn_s_own_files_get_its_padding(
    beside: State, options: dict[str, Any], tmp_path: Path
) -> None:
    state = backbone_of(resnet("resnet18")) | {"conv1.weight": torch.randn(64, 3, 3, 3)}
    read = read_checkpoint(saved(under("backbone.", state) | beside, tmp_path))
    assert read.backbone.card.arch_options == options
    assert any("padding" in line for line in read.reading.assumed)


@pytest.mark.parametrize("decoder", ["decoder.0.convs.0.0.weight", "decoder.aspp.0.weight", "decoder.fpa.a"])
def test_a_dilation_that_no_option_gives_is_refused_until_the_nearest_is_stated(
    decoder: str, tmp_path: Path
) -> None:
    state = under("encoder.", backbone_of(resnet())) | convolution(decoder, "segmentation_head.0.weight")
    path = saved({"state_dict": under("model.", state)}, tmp_path)
    with pytest.raises(UserError, match=r"dilates all blocks .* state the nearest by --arch-option") as told:
        read_checkpoint(path)
    assert "\n" not in str(told.value)
    read = read_checkpoint(path, stated=Stated(arch_options={"output_stride": 16}))
    assert read.backbone.card.arch_options == {"output_stride": 16}
    assert any(line.startswith("output_stride=16 as stated, although") for line in read.reading.assumed)


def test_every_layout_of_a_known_library_still_leaves_nothing_open(tmp_path: Path) -> None:
    """The counterpart: companions as the libraries themselves write them."""
    for layout in ("simsiam", "barlow-twins", "vicreg", "swav", "dino", "solo-learn"):
        LAYOUTS[layout][1](resnet(), tmp_path / "a.pth")
        read = read_checkpoint(tmp_path / "a.pth")
        assert read.reading.format in KNOWN_NETWORKS
        assert not any("dilation" in line for line in read.reading.assumed)
        assert read.backbone.card.method == ("swav" if layout == "swav" else None)


def test_patterns_are_of_whole_names_and_dimensions() -> None:
    one = Companions("any", {r"head\.weight": 2}, without=r"tail\..*")
    assert one.lie_in({"head.weight": (3, 4)})
    assert not one.lie_in({"head.weight": (3, 4, 1, 1)})
    assert not one.lie_in({"my.head.weight": (3, 4)}) and not one.lie_in({"head.weights": (3, 4)})
    assert not one.lie_in({"head.weight": (3, 4), "tail.weight": (3,)})
    assert Companions("any", {r"head\..*": None}).lie_in({"head.weight": (3, 4, 1, 1)})
