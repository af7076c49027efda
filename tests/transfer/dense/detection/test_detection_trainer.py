"""Parts of the trainer: parameter groups, Detectron2's own keys, precision, losses that are not finite."""

from __future__ import annotations

import math

import pytest
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.layers import ROIAlign
from detectron2.utils.events import EventStorage
from torch import nn

from mmbench.errors import UserError
from mmbench.transfer.dense.detection.precision import autocast_forward, exact_places
from mmbench.transfer.dense.detection.run import training_loader
from mmbench.transfer.dense.detection.trainer import DetectionTrainer, _Steps


class Detector(nn.Module):
    """The names of a detector, and nothing else of it."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.ModuleDict({"timm_model": nn.Conv2d(1, 1, 1), "fpn_lateral2": nn.Conv2d(1, 1, 1)})
        self.roi_heads = nn.ModuleDict(
            {"res5": nn.ModuleDict({"0": nn.Conv2d(1, 1, 1), "norm": nn.BatchNorm2d(1)})}
        )


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_only_what_was_loaded_learns_slower_and_norms_do_not_decay(name, kind) -> None:
    cfg = get_cfg()
    solver = cfg.SOLVER
    solver.BASE_LR, solver.BACKBONE_LR_FACTOR, solver.OPTIMIZER = 0.1, 0.2, name
    solver.WEIGHT_DECAY, solver.WEIGHT_DECAY_NORM = 0.5, 0.0
    cfg.MODEL = CfgNode({"MMBENCH": {"DETECTOR": "c4"}})
    model = Detector()
    optimizer = DetectionTrainer.build_optimizer(cfg, model)
    assert type(optimizer) is kind
    settings = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    found = {name: settings[id(parameter)] for name, parameter in model.named_parameters()}
    assert found["backbone.timm_model.weight"] == pytest.approx((0.02, 0.5))
    assert found["backbone.fpn_lateral2.weight"] == pytest.approx((0.1, 0.5))
    assert found["roi_heads.res5.0.weight"] == pytest.approx((0.02, 0.5))
    assert found["roi_heads.res5.norm.weight"] == pytest.approx((0.1, 0.0))


def test_detectron2s_own_keys_of_the_optimizer_are_followed() -> None:
    cfg = get_cfg()
    cfg.SOLVER.BACKBONE_LR_FACTOR, cfg.SOLVER.OPTIMIZER, cfg.SOLVER.BIAS_LR_FACTOR = 1.0, "sgd", 2.0
    cfg.SOLVER.NESTEROV, cfg.SOLVER.BASE_LR = True, 0.1
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED, cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = True, 0.5
    cfg.MODEL = CfgNode({"MMBENCH": {"DETECTOR": "c4"}})
    model = Detector()
    optimizer = DetectionTrainer.build_optimizer(cfg, model)
    bias = model.backbone["fpn_lateral2"].bias
    rates = {id(item): group["lr"] for group in optimizer.param_groups for item in group["params"]}
    assert rates[id(bias)] == pytest.approx(0.2)
    assert all(group["nesterov"] for group in optimizer.param_groups)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 100.0)
    optimizer.step()
    assert float(bias.grad) == 0.5


def test_a_stream_other_than_detectron2s_usual_one_is_refused() -> None:
    cfg = get_cfg()
    cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    with pytest.raises(UserError, match=r"SAMPLER_TRAIN RepeatFactorTrainingSampler cannot be continued"):
        training_loader(cfg, [], 0)


class Losing(nn.Module):
    """A model whose loss is what a test says."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value))

    def forward(self, batch: object) -> dict[str, torch.Tensor]:
        return {"loss": 2 * self.weight}


def test_only_forward_passes_of_the_training_are_in_reduced_precision() -> None:
    model = nn.Linear(2, 2)
    images = torch.ones(1, 2)
    with autocast_forward(model, torch.device("cpu"), "bfloat16"):
        assert model(images).dtype == torch.bfloat16
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    assert model(images).dtype == torch.float32


def test_places_of_boxes_are_exact_in_reduced_precision() -> None:
    """A ramp of features: the pooled value is the place. In bfloat16, corners at 300 px round to 2 px."""
    ramp = torch.arange(512.0).expand(1, 1, 8, 512).contiguous()
    boxes = torch.tensor([[0.0, 300.9, 1.0, 304.9, 5.0]])
    pool = ROIAlign((1, 1), 1.0, 1, aligned=True)
    expected = float(pool(ramp, boxes))
    scaled = (ramp - 300).to(torch.bfloat16)  # near the box the features themselves are exact
    with torch.autocast("cpu", torch.bfloat16):
        rounded = float(pool(scaled, boxes)) + 300
        exact_places(nn.Sequential(pool))
        found = pool(scaled, boxes)
    assert found.dtype == torch.bfloat16
    assert float(found) + 300 == pytest.approx(expected, abs=0.01)
    assert abs(rounded - expected) > 0.2


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_step(value) -> None:
    model = Losing(value)
    steps = _Steps(model, [None], torch.optim.SGD(model.parameters(), lr=0.1))
    with (
        EventStorage(),
        pytest.raises(FloatingPointError, match="the loss of iteration 1 is infinite or NaN"),
    ):
        steps.run_step()
