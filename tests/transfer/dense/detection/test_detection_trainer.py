"""The optimizer's parameter groups: which tensors learn how fast, and which decay."""

from __future__ import annotations

import pytest
import torch
from detectron2.config import CfgNode
from torch import nn

from mmbench.transfer.dense.detection.trainer import DetectionTrainer


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
    solver = {"BASE_LR": 0.1, "BACKBONE_LR_FACTOR": 0.2, "OPTIMIZER": name, "MOMENTUM": 0.9}
    cfg = CfgNode({"SOLVER": {**solver, "WEIGHT_DECAY": 0.5, "WEIGHT_DECAY_NORM": 0.0}})
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
