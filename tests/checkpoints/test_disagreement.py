"""What a file says of its network in words is compared with its tensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from layouts import State, backbone_of, trained_resnet, under
from safetensors.torch import save_file

from mmbench.checkpoints.reading import read_checkpoint
from mmbench.errors import UserError


@pytest.fixture(scope="module")
def state() -> State:
    return backbone_of(trained_resnet())


def assumed(path: Path, content: dict[str, Any]) -> str:
    torch.save(content, path)
    return "; ".join(read_checkpoint(path).reading.assumed)


@pytest.mark.parametrize(
    ("beside", "place"),
    [
        ({"arch": "resnet50"}, "arch=resnet50"),
        ({"args": {"arch": "resnet34", "epochs": 3}}, "args.arch=resnet34"),
        ({"hyper_parameters": {"backbone": "resnet101"}}, "hyper_parameters.backbone=resnet101"),
    ],
    ids=str,
)
def test_another_network_that_a_file_names_is_said(
    beside: dict[str, Any], place: str, state: State, tmp_path: Path
) -> None:
    said = assumed(tmp_path / "a.pth", {"state_dict": under("module.encoder_q.", state), **beside})
    assert f"the file says {place}, but its tensors are those of mixmask_resnet18, which is read" in said


@pytest.mark.parametrize(
    "beside", [{}, {"arch": "resnet18"}, {"arch": "a_network_of_mine"}, {"args": {"arch": 50}}], ids=str
)
def test_what_agrees_or_names_no_network_is_not_said(
    beside: dict[str, Any], state: State, tmp_path: Path
) -> None:
    said = assumed(tmp_path / "a.pth", {"state_dict": under("module.encoder_q.", state), **beside})
    assert "its tensors" not in said


def test_the_stem_for_small_images_has_no_name_of_its_own(tmp_path: Path) -> None:
    small = backbone_of(timm.create_model("mixmask_resnet18_cifar"))
    content = {"arch": "resnet18", "state_dict": under("module.encoder_q.", small)}
    assert "its tensors" not in assumed(tmp_path / "a.pth", content)


@pytest.mark.parametrize(
    ("backbone", "prefix", "other"),
    [
        ("type='ResNet', depth=50", "backbone.", "a ResNet of depth 50"),
        ("type='TIMMBackbone', model_name='resnet50'", "backbone.timm_model.", "resnet50"),
    ],
)
def test_a_configuration_of_another_network_is_refused(
    backbone: str, prefix: str, other: str, state: State, tmp_path: Path
) -> None:
    def content(text: str) -> dict[str, Any]:
        text = f"model=dict(type='MoCo', backbone=dict({text}))"
        return {"meta": {"config": text}, "state_dict": under(prefix, state)}

    torch.save(content(backbone), tmp_path / "a.pth")
    with pytest.raises(UserError, match=f"inside the file builds {other}, but its tensors are those of"):
        read_checkpoint(tmp_path / "a.pth")
    torch.save(content(backbone.replace("50", "18")), tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth").backbone.arch == "mixmask_resnet18"


def test_another_width_in_config_json_is_said(tmp_path: Path) -> None:
    save_file(
        dict(timm.create_model("resnet10t", num_classes=3).state_dict()), tmp_path / "model.safetensors"
    )
    for width, said in ((512, False), (1024, True)):
        config = {"architecture": "resnet10t", "num_classes": 3, "num_features": width}
        (tmp_path / "config.json").write_text(json.dumps(config))
        for spec in (str(tmp_path), f"local-dir:{tmp_path}"):
            phrases = read_checkpoint(spec).reading.assumed
            assert ("config.json says num_features=1024, but resnet10t has 512" in phrases) == said


@pytest.mark.parametrize(
    ("classes", "stated", "said"),
    [
        (3, 3, None),
        (3, 7, "config.json says num_classes=7, but the classifier (fc.weight) has 3"),
        (3, 0, "config.json says num_classes=0, but the classifier (fc.weight) has 3"),
        (0, 7, "config.json says num_classes=7, but the file has no classifier"),
        (0, 0, None),
    ],
)
def test_another_number_of_classes_is_said_and_changes_nothing(
    classes: int, stated: int, said: str | None, tmp_path: Path
) -> None:
    tensors = timm.create_model("resnet10t", num_classes=classes).state_dict()
    save_file(dict(tensors), tmp_path / "model.safetensors")
    config = {"architecture": "resnet10t", "num_classes": stated}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for spec in (str(tmp_path), f"local-dir:{tmp_path}"):
        read = read_checkpoint(spec)
        assert [phrase for phrase in read.reading.assumed if "num_classes" in phrase] == [said] * bool(said)
        assert all(torch.equal(tensors[name], one) for name, one in read.backbone.state_dict.items())


def test_a_fixed_size_of_a_network_that_takes_any_is_said(tmp_path: Path) -> None:
    model = timm.create_model("resnet10t", num_classes=3)
    save_file(dict(model.state_dict()), tmp_path / "model.safetensors")
    cfg = {"fixed_input_size": True, "input_size": [3, 96, 96]}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet10t", "pretrained_cfg": cfg}))
    for spec in (str(tmp_path), f"local-dir:{tmp_path}"):
        read = read_checkpoint(spec)
        assert (
            "config.json says fixed_input_size=true, but resnet10t takes images of any size"
            in read.reading.assumed
        )
        assert read.backbone.card.preprocessing.image_size == 96
