"""Every tensor of a backbone is in every detector, in its own place; anything less never trains."""

from __future__ import annotations

import dataclasses
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from torch import Tensor, nn

from mmbench.checkpoints.backbone import Backbone, random_backbone
from mmbench.errors import UserError
from mmbench.tasks import TASKS
from mmbench.transfer.dense.detection.config import RunFacts, build_config, write_weights
from mmbench.transfer.dense.detection.detectors.registry import DETECTORS, detector_of
from mmbench.transfer.dense.detection.settings import DetectionSettings
from mmbench.transfer.dense.detection.weights import check_arrival

CPU = torch.device("cpu")
LIGHT = {"fpn": {"box_width": 32, "fpn_channels": 32}, "retinanet": {"fpn_channels": 32, "head_convs": 1}}
LIGHT["keypoint"] = LIGHT["fpn"]
SMALL = {"batch_size": 2, "iterations": 1, "learning_rate": 0.01, "train_sizes": [64], "test_size": 64}
RESNET = [("c4", "resnet18"), ("fpn", "resnet18"), ("retinanet", "resnet18"), ("keypoint", "resnet18")]
TIMM = [("fpn", "test_resnet"), ("retinanet", "test_resnet"), ("pyramid", "test_resnet")]


def settings_for(detector: str, **changes: Any) -> DetectionSettings:
    values = {**SMALL, "detector": detector, **LIGHT.get(detector, {}), **changes}
    found = TASKS.get("detection").settings.variant(values).model_validate(values)
    assert isinstance(found, DetectionSettings)
    return found


def config_of(backbone: Backbone, settings: DetectionSettings, path: Path, folder: Path) -> CfgNode:
    facts = RunFacts(3, ("a", "b"), path, folder, CPU, 0, keypoints=5 if settings.keypoints else 0)
    return build_config(backbone.card, settings, facts)


def loaded(detector: str, backbone: Backbone, folder: Path, **changes: Any) -> tuple[nn.Module, Path, Any]:
    """A detector after Detectron2's own loading, the file, and the entry of the registry."""
    settings = settings_for(detector, **changes)
    path, _ = write_weights(backbone, folder, settings, CPU)
    cfg = config_of(backbone, settings, path, folder)
    model = build_model(cfg)
    DetectionCheckpointer(model).load(str(path))
    return model, path, detector_of(cfg)


def place_of(name: str, detector: str) -> str:
    """torchvision's name of a ResNet tensor -> its place in a detector, written down by hand."""
    root = "backbone" if detector == "c4" else "backbone.bottom_up"
    stage = re.match(r"layer(\d)\.(\d+)\.(.*)", name)
    if stage is None:
        inner = name.replace("bn1.", "stem.conv1.norm.").replace("conv1.weight", "stem.conv1.weight")
        return f"{root}.{inner}"
    number, block, rest = int(stage[1]), stage[2], stage[3]
    rest = re.sub(r"^bn(\d)\.", r"conv\1.norm.", rest)
    rest = rest.replace("downsample.0.", "shortcut.").replace("downsample.1.", "shortcut.norm.")
    if detector == "c4" and number == 4:
        root = "roi_heads"
    return f"{root}.res{number + 1}.{block}.{rest}"


@pytest.mark.parametrize(
    ("detector", "arch"),
    [("fpn", "resnet18"), ("fpn", "mixmask_resnet50"), ("retinanet", "resnet34"), ("keypoint", "resnet18")],
)
def test_every_tensor_of_a_plain_resnet_is_in_its_place(detector: str, arch: str, tmp_path: Path) -> None:
    backbone = random_backbone(arch, 3)
    model, path, entry = loaded(detector, backbone, tmp_path)
    held: dict[str, Tensor] = model.state_dict()
    expected = {
        place_of(name, detector): tensor
        for name, tensor in backbone.state_dict.items()
        if not name.endswith("num_batches_tracked")
    }
    for place, tensor in expected.items():
        assert torch.equal(held[place], tensor), place
    assert {place for place in held if entry.from_backbone(place)} == expected.keys()
    assert check_arrival(model, path, entry.from_backbone, backbone) == len(expected)


@pytest.mark.parametrize(("detector", "arch"), TIMM)
def test_every_tensor_of_a_timm_network_is_in_its_place(detector: str, arch: str, tmp_path: Path) -> None:
    backbone = random_backbone(arch, 3)
    model, path, entry = loaded(detector, backbone, tmp_path)
    held = {
        place.partition("timm_model.")[2]: tensor
        for place, tensor in model.state_dict().items()
        if ".timm_model." in place
    }
    for name, tensor in backbone.state_dict.items():
        assert torch.equal(held.pop(name), tensor), name
    assert held == {}
    assert check_arrival(model, path, entry.from_backbone, backbone) == len(backbone.state_dict)
    assert any(place.startswith("backbone.fpn_lateral") for place in model.state_dict())


@pytest.mark.parametrize(("detector", "arch"), RESNET[:3] + TIMM)
def test_partial_changed_or_moved_tensors_are_noticed(detector: str, arch: str, tmp_path: Path) -> None:
    backbone = random_backbone(arch, 0)
    model, path, entry = loaded(detector, backbone, tmp_path)
    places = [place for place in model.state_dict() if entry.from_backbone(place)]
    weights = [place for place in places if place.endswith(("conv1.weight", "conv2.weight"))]
    state = model.state_dict()
    for place in (weights[0], weights[-1], places[-1]):
        before = state[place].clone()
        state[place][(0,) * before.dim()] += 1
        with pytest.raises(UserError, match=rf"1 tensors were not loaded \({re.escape(place)}\)"):
            check_arrival(model, path, entry.from_backbone, backbone)
        state[place].copy_(before)
    pair = next(
        (one, other)
        for number, one in enumerate(weights)
        for other in weights[number + 1 :]
        if state[one].shape == state[other].shape
    )
    with torch.no_grad():
        kept = state[pair[0]].clone()
        state[pair[0]].copy_(state[pair[1]])
        state[pair[1]].copy_(kept)
    with pytest.raises(UserError, match="2 tensors were not loaded"):
        check_arrival(model, path, entry.from_backbone, backbone)


def rewrite(path: Path, change: Any) -> None:
    if path.suffix == ".pkl":
        content = pickle.loads(path.read_bytes())
        change(content["model"])
        path.write_bytes(pickle.dumps(content))
    else:
        content = torch.load(path, weights_only=True)
        change(content["model"])
        torch.save(content, path)


def drop_one(tensors: dict[str, Any]) -> None:
    del tensors[next(name for name in tensors if name.endswith("conv2.weight"))]


def shuffle_two(tensors: dict[str, Any]) -> None:
    names = [name for name in tensors if name.endswith("conv2.weight")]
    one, other = next((a, b) for a in names for b in names if a < b and tensors[a].shape == tensors[b].shape)
    tensors[one], tensors[other] = tensors[other], tensors[one]


def scale_all(tensors: dict[str, Any]) -> None:
    for name in tensors:
        tensors[name] = tensors[name] * 2


@pytest.mark.parametrize("change", [drop_one, shuffle_two, scale_all])
@pytest.mark.parametrize(("detector", "arch"), [("fpn", "resnet18"), ("retinanet", "test_resnet")])
def test_a_file_that_is_not_the_backbones_is_noticed_however_well_it_loads(
    detector: str, arch: str, change: Any, tmp_path: Path
) -> None:
    backbone = random_backbone(arch, 0)
    settings = settings_for(detector)
    path, _ = write_weights(backbone, tmp_path, settings, CPU)
    rewrite(path, change)
    cfg = config_of(backbone, settings, path, tmp_path)
    model = build_model(cfg)
    DetectionCheckpointer(model).load(str(path))
    with pytest.raises(
        UserError, match=r"(does not hold the weights of|did not arrive whole).*nothing was trained"
    ) as caught:
        check_arrival(model, path, detector_of(cfg).from_backbone, backbone)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("detector", "file", "network"),
    [("fpn", "resnet34", "resnet18"), ("fpn", "resnet18", "resnet34"), ("retinanet", "resnet18", "resnet34")],
)
def test_the_weights_of_another_depth_do_not_pass(
    detector: str, file: str, network: str, tmp_path: Path
) -> None:
    settings = settings_for(detector)
    path, _ = write_weights(random_backbone(file, 0), tmp_path, settings, CPU)
    backbone = random_backbone(network, 0)
    cfg = config_of(backbone, settings, path, tmp_path)
    model = build_model(cfg)
    DetectionCheckpointer(model).load(str(path))
    with pytest.raises(UserError, match="did not arrive whole"):
        check_arrival(model, path, detector_of(cfg).from_backbone)
    with pytest.raises(UserError, match="does not hold the weights"):
        check_arrival(model, path, detector_of(cfg).from_backbone, backbone)


@pytest.mark.parametrize(("detector", "arch"), RESNET + TIMM)
def test_a_checkpoint_with_a_tensor_missing_is_refused_before_a_file_is_written(
    detector: str, arch: str, tmp_path: Path
) -> None:
    whole = random_backbone(arch, 0)
    state = {name: value for name, value in whole.state_dict.items() if name != "layer3.0.conv2.weight"}
    with pytest.raises(UserError, match=r"layer3\.0\.conv2\.weight"):
        write_weights(dataclasses.replace(whole, state_dict=state), tmp_path, settings_for(detector), CPU)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_registry_has_the_five_detectors() -> None:
    assert DETECTORS.names() == ["c4", "fpn", "keypoint", "pyramid", "retinanet"]
    with pytest.raises(UserError, match="did you mean 'retinanet'"):
        DETECTORS.get("retinanets")
