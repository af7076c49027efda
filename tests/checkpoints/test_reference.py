"""The proof asks the library that wrote the weights, not our network alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from layouts import LAYOUTS, msra, trained_resnet

import mmbench.backbones  # noqa: F401  (registers)
from mmbench.checkpoints.backbone import Backbone, create_headless
from mmbench.checkpoints.card import HighPass, ModelCard, Preprocessing
from mmbench.checkpoints.reading import read_backbone
from mmbench.checkpoints.reference import BUILT_BY_TORCHVISION, WRITTEN_BY, compare_with_source
from mmbench.checkpoints.writing import convert
from mmbench.errors import UserError


def built(arch: str, source_format: str, **options: Any) -> Backbone:
    torch.manual_seed(4)
    card = ModelCard(arm="any", arch=arch, arch_options=options, source_format=source_format)
    return Backbone(arch, dict(create_headless(arch, **options).state_dict()), card)


@pytest.mark.parametrize("layout", [n for n in LAYOUTS if n not in ("lightly", "mmpretrain", "solo-learn")])
def test_every_format_names_its_library(layout: str, tmp_path: Path) -> None:
    LAYOUTS[layout][1](trained_resnet(), tmp_path / "checkpoint.pth")
    backbone = read_backbone(tmp_path / "checkpoint.pth")
    words = compare_with_source(backbone, "timm")
    known = backbone.card.source_format in (*BUILT_BY_TORCHVISION, *WRITTEN_BY)
    assert known == bool(words) and known
    expected = {"detectron2": "Detectron2's build_resnet_backbone", "openmmlab": "ResNet-18, style pytorch"}
    assert expected.get(LAYOUTS[layout][0], "torchvision.models.resnet18") in words


def test_msra_s_networks_are_those_of_detectron2(tmp_path: Path) -> None:
    msra(trained_resnet("resnet50"), tmp_path / "R-50.pkl")
    backbone = read_backbone(tmp_path / "R-50.pkl")
    assert "STRIDE_IN_1X1 True" in compare_with_source(backbone, "timm")


NETWORKS = [
    ("mixmask_resnet18_cifar", "solo-learn", {"stem_padding": 2}, "padding 2"),
    ("mixmask_resnet18_cifar", "moco", {}, "padding 1"),
    ("mixmask_resnet34_cifar", "moco", {"stem_pool": True}, "resnet34 with a 3 x 3 stem"),
    ("mixmask_wide_resnet50_2", "torchvision", {}, "torchvision.models.wide_resnet50_2"),
    ("resnet18", "torchvision", {}, "torchvision.models.resnet18"),
    ("mixmask_resnet50", "openmmlab", {"early_stride": True}, "style caffe"),
    ("mixmask_resnet50", "detectron2", {"early_stride": True}, "STRIDE_IN_1X1 True"),
]


@pytest.mark.parametrize(("arch", "source_format", "options", "words"), NETWORKS)
def test_networks_with_options(arch: str, source_format: str, options: dict[str, Any], words: str) -> None:
    assert words in compare_with_source(built(arch, source_format, **options), "timm")


@pytest.mark.parametrize(
    ("arch", "source_format", "options"),
    [
        ("mixmask_resnet50", "torchvision", {"early_stride": True}),
        ("mixmask_resnet18", "moco", {"output_stride": 16}),
        ("mixmask_resnet8", "run", {}),
        ("mixmask_resnet8", "moco", {}),
        ("convnext_atto", "timm", {}),
    ],
)
def test_where_the_library_has_no_such_network_nothing_is_claimed(
    arch: str, source_format: str, options: dict[str, Any]
) -> None:
    assert compare_with_source(built(arch, source_format, **options), "timm") == ""


def test_a_network_that_is_not_the_library_s_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if our network of that name were another one than torchvision's."""
    backbone = built("mixmask_resnet18", "moco")
    wrong = create_headless("mixmask_resnet18", stem_pool=False)
    wrong.load_state_dict(backbone.state_dict)
    monkeypatch.setattr(Backbone, "build", lambda self: wrong)
    with pytest.raises(UserError, match=r"torchvision.models.resnet18 gives other features .*--arch-option"):
        compare_with_source(backbone, "timm")


def test_the_receipt_says_so_and_the_target_itself_is_not_asked_twice(tmp_path: Path) -> None:
    backbone = built("mixmask_resnet18", "moco")
    assert "the source by torchvision" in convert(backbone, tmp_path / "folder", "timm").verification
    assert "the source by" not in convert(backbone, tmp_path / "tv.pth", "torchvision").verification
    preprocessing = Preprocessing(high_pass=HighPass(kernel_size=3, sigma=0.7))
    filtered = replace(backbone, card=backbone.card.model_copy(update={"preprocessing": preprocessing}))
    assert "the source by torchvision" in convert(filtered, tmp_path / "filtered", "timm").verification
