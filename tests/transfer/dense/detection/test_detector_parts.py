"""What detectors compute: training steps, frozen backbones, high-passed images, the state of RetinaNet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.layers import FrozenBatchNorm2d
from detectron2.modeling import build_model
from detectron2.modeling.meta_arch import RetinaNet
from detectron2.structures import Boxes, Instances, Keypoints, PolygonMasks
from detectron2.utils.events import EventStorage
from torch import Tensor, nn
from torch.nn import functional as F

from mmbench.checkpoints.backbone import random_backbone
from mmbench.checkpoints.card import HighPass, ModelCard, Preprocessing
from mmbench.errors import UserError
from mmbench.tasks import TASKS
from mmbench.transfer.dense.detection.config import RunFacts, build_config, choose_detector, write_weights
from mmbench.transfer.dense.detection.detectors.norms import norm_note
from mmbench.transfer.dense.detection.detectors.registry import detector_of
from mmbench.transfer.dense.detection.models import MMBenchRetinaNet
from mmbench.transfer.dense.detection.settings import DetectionSettings

CPU = torch.device("cpu")
SMALL = {"batch_size": 2, "iterations": 1, "learning_rate": 0.01, "train_sizes": [64], "test_size": 64}
FEW = {"roi_batch": 8, "rpn_batch": 16, "train_proposals": [20, 8], "test_proposals": [20, 8]}
KINDS: dict[str, dict[str, Any]] = {
    "c4": FEW,
    "fpn": {**FEW, "box_width": 32, "fpn_channels": 32, "mask_convs": 1},
    "keypoint": {
        **FEW,
        "box_width": 32,
        "fpn_channels": 32,
        "library": {"MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS": [16]},
    },
    "pyramid": FEW,
    "retinanet": {"fpn_channels": 32, "head_convs": 1},
}


def settings_for(detector: str, **changes: Any) -> DetectionSettings:
    values = {**SMALL, "detector": detector, **KINDS[detector], **changes}
    found = TASKS.get("detection").settings.variant(values).model_validate(values)
    assert isinstance(found, DetectionSettings)
    return found


def detector(
    kind: str, arch: str, tmp_path: Path, *, preprocessing: Preprocessing | None = None, **changes: Any
) -> Any:
    settings = settings_for(kind, **changes)
    facts = RunFacts(
        3, ("a", "b"), tmp_path / "x", tmp_path, CPU, 0, keypoints=4 if kind == "keypoint" else 0
    )
    card = ModelCard(arm="any", arch=arch, preprocessing=preprocessing or Preprocessing())
    torch.manual_seed(0)
    cfg = build_config(card, settings, facts)
    model = build_model(cfg)
    model.entry = detector_of(cfg)
    return model


def batch(*, masks: bool = False, keypoints: int = 0) -> list[dict[str, Any]]:
    """Two images of 64 px with two objects each."""
    generator = torch.Generator().manual_seed(1)
    items = []
    for _ in range(2):
        image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=generator)
        boxes = torch.tensor([[4.0, 6.0, 40.0, 44.0], [20.0, 10.0, 60.0, 50.0]])
        instances = Instances((64, 64), gt_boxes=Boxes(boxes), gt_classes=torch.tensor([0, 2]))
        if masks:
            corners = [[[4.0, 6.0, 40.0, 6.0, 40.0, 44.0]], [[20.0, 10.0, 60.0, 10.0, 60.0, 50.0]]]
            instances.gt_masks = PolygonMasks(corners)
        if keypoints:
            points = torch.full((2, keypoints, 3), 25.0)
            points[..., 2] = 2
            instances.gt_keypoints = Keypoints(points)
        items.append({"image": image, "instances": instances, "height": 64, "width": 64})
    return items


def step(model: nn.Module, items: list[dict[str, Any]], rate: float = 0.01) -> dict[str, float]:
    """One step of plain gradient descent; returns the losses."""
    model.train()
    with EventStorage(0):
        losses = model(items)
    model.zero_grad()
    sum(losses.values()).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= rate * parameter.grad
    return {name: float(loss.detach()) for name, loss in losses.items()}


@pytest.mark.parametrize(
    ("kind", "arch", "names"),
    [
        ("fpn", "test_resnet", {"loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls", "loss_rpn_loc"}),
        ("retinanet", "test_resnet", {"loss_cls", "loss_box_reg"}),
        (
            "keypoint",
            "test_resnet",
            {"loss_cls", "loss_box_reg", "loss_keypoint", "loss_rpn_cls", "loss_rpn_loc"},
        ),
    ],
)
def test_every_detector_trains_and_detects(kind: str, arch: str, names: set[str], tmp_path: Path) -> None:
    model = detector(kind, arch, tmp_path, **({"masks": True} if kind == "fpn" else {}))
    items = batch(masks=kind == "fpn", keypoints=4 if kind == "keypoint" else 0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    losses = step(model, items)
    assert losses.keys() == names and all(value == value for value in losses.values())
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    moved = [place for place in before if model.entry.from_backbone(place) and place in changed]
    # timm's last norms of blocks start at 0, so nothing inside those blocks has a gradient yet
    assert len(moved) > 0.7 * sum(map(model.entry.from_backbone, before)), "the backbone is trained"
    seen: list[Tensor] = []
    for head in model.entry.score_heads(model):
        head.register_forward_hook(lambda module, given, found: seen.append(found))
    with torch.no_grad():
        (first, _) = model.eval()(items)
    assert "pred_boxes" in first["instances"].get_fields()
    assert len(seen) == len(model.entry.score_heads(model)), "the divergence watch sees every head"


# Frozen backbones.


@pytest.mark.parametrize("kind", ["fpn", "pyramid", "retinanet"])
def test_a_frozen_timm_backbone_changes_in_no_tensor(kind: str, tmp_path: Path) -> None:
    model = detector(kind, "test_resnet", tmp_path, freeze_at=5)
    model.train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    step(model, batch())
    after = model.state_dict()
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if ".timm_model." in name} <= same
    assert "backbone.fpn_lateral5.weight" not in same
    network = model.backbone.bottom_up.timm_model
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())
    model.eval().train()
    assert not network.training


def test_frozen_maps_are_those_of_the_network_in_evaluation(tmp_path: Path) -> None:
    model = detector("fpn", "test_resnet", tmp_path, freeze_at=5)
    images = torch.randn(2, 3, 64, 64)
    found = model.train().backbone.bottom_up(images)
    expected = model.backbone.bottom_up.timm_model.eval()(images)
    for maps, wanted in zip(found.values(), expected[-4:], strict=True):
        torch.testing.assert_close(maps, wanted)


@pytest.mark.parametrize(("freeze_at", "learning"), [(0, "stem"), (2, "res3"), (5, "")])
def test_freeze_at_freezes_stages_of_a_plain_resnet(freeze_at: int, learning: str, tmp_path: Path) -> None:
    model = detector("fpn", "resnet18", tmp_path, freeze_at=freeze_at)
    stages = ["stem", "res2", "res3", "res4", "res5"]
    first = stages.index(learning) if learning else len(stages)
    for place, stage in enumerate(stages):
        module = model.backbone.bottom_up.get_submodule(stage)
        parameters = list(module.parameters())
        assert all(parameter.requires_grad == (place >= first) for parameter in parameters)
        frozen = [
            isinstance(part, FrozenBatchNorm2d) for part in module.modules() if "Norm" in type(part).__name__
        ]
        assert frozen and all(kind == (place < first) for kind in frozen)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    step(model, batch())
    for name, tensor in model.state_dict().items():
        if any(f"bottom_up.{stage}." in name for stage in stages[:first]):
            assert torch.equal(tensor, before[name]), name


def test_c4_freezes_res5_too_where_everything_is_frozen(tmp_path: Path) -> None:
    model = detector("c4", "resnet18", tmp_path, freeze_at=5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    step(model, batch())
    places = [place for place in before if model.entry.from_backbone(place)]
    assert any("res5" in place for place in places)
    assert all(torch.equal(model.state_dict()[place], before[place]) for place in places)
    assert not torch.equal(
        model.state_dict()["roi_heads.res5.norm.weight"], before["roi_heads.res5.norm.weight"]
    )


def test_voc_fpn_frozen_learns_res5_without_its_norms(tmp_path: Path) -> None:
    model = detector("fpn", "resnet18", tmp_path, freeze_at=4, backbone_norm="frozen_bn")
    learning = {
        name.removeprefix("backbone.bottom_up.")
        for name, parameter in model.named_parameters()
        if name.startswith("backbone.bottom_up.") and parameter.requires_grad
    }
    assert learning == {
        "res5.0.conv1.weight",
        "res5.0.conv2.weight",
        "res5.0.shortcut.weight",
        "res5.1.conv1.weight",
        "res5.1.conv2.weight",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"freeze_at": 4}, "freeze_at 4 counts the stages of a plain ResNet; with 'test_resnet' use"),
        ({"backbone_norm": "frozen_bn"}, "backbone_norm frozen_bn is for plain ResNets"),
    ],
)
def test_what_only_plain_resnets_have_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        detector("fpn", "test_resnet", tmp_path, **changes)
    assert message in str(caught.value) and "\n" not in str(caught.value)


# Which detector an architecture gets.


def test_networks_without_the_four_strides_get_the_pyramid_in_place_of_the_fpn(tmp_path: Path) -> None:
    fpn, retinanet = settings_for("fpn"), settings_for("retinanet")
    assert choose_detector("mixmask_resnet8", fpn) == "pyramid"
    assert [choose_detector(arch, fpn) for arch in ("resnet18", "test_resnet", "convnext_atto")] == [
        "fpn"
    ] * 3
    with pytest.raises(UserError, match="detector retinanet takes ConvNets with feature maps of strides 4"):
        choose_detector("mixmask_resnet8", retinanet)
    with pytest.raises(UserError, match="detector keypoint takes ConvNets"):
        choose_detector("vit_tiny_patch16_224", settings_for("keypoint"))
    _, notes = write_weights(random_backbone("mixmask_resnet8", 0), tmp_path, fpn, CPU)
    assert notes[0] == "detector: pyramid, Faster R-CNN, every layer trained"
    assert notes[1].startswith("pyramid in place of fpn, which takes ConvNets")
    assert detector("fpn", "mixmask_resnet8", tmp_path).roi_heads.box_head.norm.num_features == 64


def test_asking_for_strides_draws_nothing() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    choose_detector("test_resnet", settings_for("fpn"))
    assert torch.equal(torch.rand(3), expected)


def test_notes_say_what_is_frozen_and_which_norm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, notes = write_weights(
        random_backbone("resnet18", 0), tmp_path, settings_for("retinanet", freeze_at=2), CPU
    )
    assert notes[0] == "detector: retinanet, RetinaNet, stem to res2 frozen"
    assert notes[1] == "batch norm of the backbone: BN in one process (the protocol's syncbn in several)"
    assert "frozen" in norm_note(settings_for("fpn", backbone_norm="frozen_bn"))
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 4)
    assert norm_note(settings_for("fpn")).endswith("SyncBN over 4 processes")
    assert "naiveSyncBN over 4" in norm_note(settings_for("fpn", backbone_norm="naive_syncbn"))
    assert "each of 4 processes" in norm_note(settings_for("fpn", backbone_norm="bn"))


# RetinaNet.


def test_retinanet_high_passes_before_padding_as_the_r_cnns_do(tmp_path: Path) -> None:
    preprocessing = Preprocessing(high_pass=HighPass(kernel_size=5, sigma=1.3))
    model = detector("retinanet", "resnet18", tmp_path, preprocessing=preprocessing)
    assert isinstance(model, MMBenchRetinaNet)
    image = torch.randint(0, 256, (3, 40, 44), dtype=torch.uint8)
    padded = model.preprocess_image([{"image": image}]).tensor
    assert padded.shape == (1, 3, 64, 64)
    assert (padded[..., 44:] == 0).all() and (padded[..., 40:, :] == 0).all()
    mean, std = torch.tensor((0.485, 0.456, 0.406)), torch.tensor((0.229, 0.224, 0.225))
    normalised = (image / 255 - mean[:, None, None]) / std[:, None, None]
    line = torch.exp(-0.5 * (torch.arange(-2.0, 3) / 1.3) ** 2)
    kernel = torch.outer(line, line) / line.sum() ** 2
    framed = F.pad(normalised[None], (2, 2, 2, 2), mode="reflect")
    blurred = F.conv2d(framed, kernel.expand(3, 1, 5, 5), groups=3)
    torch.testing.assert_close(padded[..., :40, :44], normalised[None] - blurred, atol=1e-5, rtol=1e-5)


def test_the_loss_normaliser_is_detectron2s_and_part_of_the_state(tmp_path: Path) -> None:
    model = detector("retinanet", "test_resnet", tmp_path)
    positives = [37, 0, 512]
    plain = RetinaNet.__mro__[1].__new__(RetinaNet.__mro__[1])  # Detectron2's own, with a plain number
    nn.Module.__init__(plain)
    for count in positives:
        expected = plain._ema_update("loss_normalizer", max(count, 1), 100)
        assert model._ema_update("loss_normalizer", max(count, 1), 100) == expected
    other = detector("retinanet", "test_resnet", tmp_path)
    other.load_state_dict(model.state_dict())
    assert other._ema_update("x", 5, 100) == model._ema_update("x", 5, 100)


def test_anchors_of_retinanet_are_three_per_octave(tmp_path: Path) -> None:
    model = detector("retinanet", "resnet18", tmp_path)
    assert model.anchor_generator.num_anchors == [9] * 5
    cells = next(iter(model.anchor_generator.cell_anchors))
    sides = ((cells[:, 2] - cells[:, 0]) * (cells[:, 3] - cells[:, 1])).sqrt()
    expected = torch.tensor([32 * 2 ** (third / 3) for third in range(3) for _ in range(3)])
    torch.testing.assert_close(sides.sort().values, expected.sort().values)
