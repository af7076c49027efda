"""Strides and dilations in an OpenMMLab configuration are followed or refused, and the proof has them too."""

from pathlib import Path
from typing import Any

import pytest
import torch
from layouts import backbone_of, trained_resnet, under
from torch import Tensor, nn
from torch.nn import functional

import mmbench.backbones  # noqa: F401  (registers)
from mmbench.checkpoints.openmmlab.build import registries
from mmbench.checkpoints.openmmlab.network import output_stride_of
from mmbench.checkpoints.proof.parity import relative_error
from mmbench.checkpoints.proof.source_proof import prove_source
from mmbench.checkpoints.reading import ReadCheckpoint, read_checkpoint
from mmbench.checkpoints.stated import Stated
from mmbench.errors import UserError

D8 = {"strides": (1, 2, 1, 1), "dilations": (1, 1, 2, 4)}
D16 = {"strides": (1, 2, 2, 1), "dilations": (1, 1, 1, 2)}
PIXELS = (
    "data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True)"
)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return trained_resnet("resnet50").eval()


def saved(settings: dict[str, Any], model: nn.Module, folder: Path) -> Path:
    text = f"model = dict({PIXELS}, backbone={ ({'type': 'ResNet', 'depth': 50} | settings)!r})\n"
    state = under("backbone.", backbone_of(model)) | {"decode_head.conv_seg.weight": torch.zeros(4, 4, 1, 1)}
    torch.save({"meta": {"cfg": text}, "state_dict": state}, folder / "a.pth")
    return folder / "a.pth"


def features(state: dict[str, Tensor], images: Tensor, settings: dict[str, Any]) -> Tensor:
    """The last map of a ResNet-50 as mmseg describes it, by functions of torch alone."""

    def norm(maps: Tensor, name: str) -> Tensor:
        kinds = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(maps, *(state[f"{name}.{kind}"] for kind in kinds))

    maps = functional.conv2d(images, state["conv1.weight"], stride=2, padding=3)
    maps = functional.max_pool2d(norm(maps, "bn1").relu(), 3, 2, 1)
    for stage, blocks in enumerate((3, 4, 6, 3)):
        for block in range(blocks):
            start = f"layer{stage + 1}.{block}."
            stride = settings.get("strides", (1, 2, 2, 2))[stage] if block == 0 else 1
            dilation = settings.get("dilations", (1, 1, 1, 1))[stage]
            if block == 0 and settings.get("contract_dilation") and dilation > 1:
                dilation //= 2
            inner = norm(functional.conv2d(maps, state[f"{start}conv1.weight"]), f"{start}bn1").relu()
            kernel = state[f"{start}conv2.weight"]
            inner = functional.conv2d(inner, kernel, stride=stride, padding=dilation, dilation=dilation)
            inner = norm(inner, f"{start}bn2").relu()
            inner = norm(functional.conv2d(inner, state[f"{start}conv3.weight"]), f"{start}bn3")
            if block == 0:
                short = functional.conv2d(maps, state[f"{start}downsample.0.weight"], stride=stride)
                maps = norm(short, f"{start}downsample.1")
            maps = (maps + inner).relu()
    return maps


def error_of(read: ReadCheckpoint, model: nn.Module, settings: dict[str, Any]) -> float:
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        ours = read.backbone.build().eval().forward_features(images)  # type: ignore[operator]
        return relative_error(ours, features(backbone_of(model), images, settings))


@pytest.mark.parametrize(
    ("settings", "output_stride"),
    [
        ({}, 32),
        (D8 | {"contract_dilation": True}, 8),
        (D16 | {"contract_dilation": True, "norm_cfg": {"type": "SyncBN", "requires_grad": True}}, 16),
    ],
)
def test_what_has_an_equal_is_built_and_proved(
    settings: dict[str, Any], output_stride: int, model: nn.Module, tmp_path: Path
) -> None:
    read = read_checkpoint(saved(settings, model, tmp_path))
    assert read.backbone.card.arch_options == {"output_stride": output_stride, "early_stride": False}
    assert "configuration" in read.backbone.card.origins["arch_options"]
    assert not any("dilation" in line or "stride" in line for line in read.reading.assumed)
    assert error_of(read, model, settings) < 1e-5
    found = prove_source(read)
    assert found.library == ("mmseg" if "contract_dilation" in settings else "mmpretrain")
    assert found.error is not None and found.error < 1e-4
    assert "dilations" in found.words or not settings


@pytest.mark.parametrize(
    "settings",
    [
        D8,
        D16,
        D8 | {"contract_dilation": True, "multi_grid": (1, 2, 4)},
        {"strides": (1, 1, 1, 1)},
        {"strides": (1, 2, 1, 1)},
        {"dilations": (1, 1, 2)},
        {"strides": "x"},
    ],
)
def test_what_has_none_is_refused_and_never_proved(
    settings: dict[str, Any], model: nn.Module, tmp_path: Path
) -> None:
    path = saved(settings, model, tmp_path)
    for arch in (None, "mixmask_resnet50", "resnet50"):
        with pytest.raises(UserError, match="--arch-option output_stride=") as refused:
            read_checkpoint(path, arch)
        assert "\n" not in str(refused.value)
    read = read_checkpoint(path, stated=Stated(arch_options={"output_stride": 8}))
    assert read.backbone.card.arch_options["output_stride"] == 8
    assert any("output_stride=8 as stated, although" in line for line in read.reading.assumed)
    if len(settings.get("dilations", (1,) * 4)) == 4 and settings.get("strides") != "x":
        with pytest.raises(UserError, match="other features than what was read"):
            prove_source(read)


def test_a_statement_wins_and_is_not_proved(model: nn.Module, tmp_path: Path) -> None:
    path = saved(D8 | {"contract_dilation": True}, model, tmp_path)
    read = read_checkpoint(path, stated=Stated(arch_options={"output_stride": 32}))
    assert error_of(read, model, {}) < 1e-5
    assert any("output_stride=32 as stated, although" in line for line in read.reading.assumed)
    with pytest.raises(UserError, match="other features than what was read"):
        prove_source(read)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"conv_cfg": {"type": "ConvWS"}}, "conv_cfg type ConvWS"), ({"norm_cfg": {"eps": 0.001}}, "eps 0.001")],
)
def test_layers_that_are_not_ours_are_refused(
    settings: dict[str, Any], words: str, model: nn.Module, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=words):
        read_checkpoint(saved(settings, model, tmp_path))


@pytest.mark.parametrize("settings", [{"deep_stem": True}, {"avg_down": True}])
def test_stems_and_shortcuts_of_other_networks_have_other_names(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    network = registries()["mmseg"].build({"type": "mmseg.ResNet", "depth": 50} | settings)
    path = saved(settings, network, tmp_path)
    for arch in (None, "mixmask_resnet50"):
        with pytest.raises(UserError, match="missing") as refused:
            read_checkpoint(path, arch)
        assert "\n" not in str(refused.value)


def test_blocks_of_two_convolutions_dilate_one_of_them_there_and_both_here() -> None:
    settings = D8 | {"contract_dilation": True}
    assert output_stride_of(settings, "mixmask_resnet18") is None
    assert output_stride_of(settings, "resnet101") == 8
    assert output_stride_of({}, "mixmask_resnet18") == 32


def test_another_type_says_nothing_by_what_it_leaves_out(model: nn.Module, tmp_path: Path) -> None:
    read = read_checkpoint(saved({"type": "MyResNet"}, model, tmp_path))
    assert read.backbone.card.arch_options == {}
    assert any("dilation: assumed none" in line for line in read.reading.assumed)
