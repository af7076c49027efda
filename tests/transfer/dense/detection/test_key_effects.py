"""Keys of Detectron2's that nothing in a detector reads are refused; those that it reads are taken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small_detectors as small
import torch
from detectron2.config import CfgNode

from mmbench.checkpoints.card import ModelCard
from mmbench.errors import UserError
from mmbench.transfer.dense.detection.config import RunFacts, build_config
from mmbench.transfer.dense.detection.mapper import ImageMapper
from mmbench.transfer.dense.detection.reserved_keys import IN_SETTINGS, RESERVED
from mmbench.transfer.dense.detection.run import training_loader
from mmbench.transfer.dense.detection.trainer import DetectionTrainer
from mmbench.transfer.resolution import resolve_task

BY_MMBENCH = (  # read from the stated keys, before there is a configuration
    "DATALOADER.FILTER_EMPTY_ANNOTATIONS",
    "MODEL.ROI_KEYPOINT_HEAD.MIN_KEYPOINTS_PER_IMAGE",
)
SMALL = {"train_sizes": [64], "test_size": 64}
RETINANET = {**small.SHORT, "detector": "retinanet", "fpn_channels": 16, "head_convs": 1}
OTHERS: dict[type, Any] = {bool: True, int: 3, float: 0.75, str: "GN", list: [1], tuple: [1]}


def leaves(node: CfgNode, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, CfgNode):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


class Reads:
    """Records which keys of a configuration are read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys, self.places, self.nodes = set[str](), dict[int, str](), list[CfgNode]()
        plain = CfgNode.__getattr__

        def traced(node: CfgNode, name: str) -> Any:
            value, key = plain(node, name), self.places.get(id(node), "") + name
            if isinstance(value, CfgNode):
                self.places[id(value)] = f"{key}."
                self.nodes.append(value)  # keeps the id
            else:
                self.keys.add(key)
            return value

        monkeypatch.setattr(CfgNode, "__getattr__", traced)


def check(protocol: str, stated: dict[str, Any]) -> None:
    resolve_task(None, protocol, stated).require_effects()


def belongs(key: str, place: str) -> bool:
    return key == place or key.startswith(f"{place}.")


@pytest.mark.parametrize(
    ("stated", "arch"),
    [
        (small.C4, "mixmask_resnet18"),
        ({**small.C4, "masks": True}, "mixmask_resnet18"),
        (small.PYRAMID, "mixmask_resnet18"),
        ({**small.PYRAMID, "masks": True}, "mixmask_resnet18"),
        (small.FPN, "mixmask_resnet18"),
        ({**small.FPN, "masks": True}, "mixmask_resnet18"),
        (RETINANET, "mixmask_resnet18"),
    ],
    ids=["c4", "c4-masks", "pyramid", "pyramid-masks", "fpn", "fpn-masks", "retinanet"],
)
def test_every_key_that_nothing_reads_is_refused(
    monkeypatch: pytest.MonkeyPatch, stated: dict[str, Any], arch: str
) -> None:
    settings: Any = resolve_task(None, "detection/patterns@1", stated).settings
    facts = RunFacts(3, ("train", "test"), Path("weights"), Path("out"), torch.device("cpu"), 0)
    cfg = build_config(ModelCard(arm="any", arch=arch), settings, facts)
    own = [key for key, names in IN_SETTINGS.items() if set(names) & set(type(settings).model_fields)]
    taken = (*RESERVED, *own, *BY_MMBENCH)
    free = {key: value for key, value in leaves(cfg) if not any(belongs(key, one) for one in taken)}

    reads = Reads(monkeypatch)
    model = DetectionTrainer.build_model(cfg)
    DetectionTrainer.build_lr_scheduler(cfg, DetectionTrainer.build_optimizer(cfg, model))
    ImageMapper(cfg, True), ImageMapper(cfg, False)
    training_loader(cfg, [{"width": 64, "height": 64, "file_name": "one.png"}], 0)
    monkeypatch.undo()
    unread = {key: value for key, value in free.items() if key not in reads.keys}

    assert len(unread) > 20 and len(free) - len(unread) > 30
    for key, value in unread.items():
        # What nothing reads may be stated as it is; a value that switches something off takes another.
        other = list(value) if isinstance(value, tuple | list) else value
        with pytest.raises(UserError, match=f"setting '{key}' of .*: has no effect "):
            check("detection/patterns@1", {**stated, key: other or OTHERS[type(value)]})


WITHOUT = [
    ({"detector": "c4"}, "MODEL.FPN.FUSE_TYPE", "avg", "with detector=c4; omit it, or set detector=fpn"),
    ({"detector": "c4"}, "MODEL.FPN.NORM", "GN", "with detector=c4"),
    ({"detector": "c4"}, "MODEL.RESNETS.RES5_DILATION", 2, "with detector=c4"),
    ({"detector": "c4", "masks": True}, "MODEL.ROI_MASK_HEAD.NORM", "GN", "with detector=c4"),
    ({"detector": "pyramid"}, "MODEL.RESNETS.STRIDE_IN_1X1", True, "with detector=pyramid"),
    ({"detector": "pyramid"}, "MODEL.ROI_BOX_HEAD.NUM_CONV", 2, "with detector=pyramid"),
    (
        {},
        "MODEL.ROI_BOX_CASCADE_HEAD.IOUS",
        [0.5, 0.6, 0.8],
        "without MODEL.ROI_HEADS.NAME; omit it, or set MODEL.ROI_HEADS.NAME=CascadeROIHeads",
    ),
    (
        {"MODEL.ROI_HEADS.NAME": "StandardROIHeads"},
        "MODEL.ROI_BOX_CASCADE_HEAD.IOUS",
        [0.5, 0.6, 0.8],
        "with MODEL.ROI_HEADS.NAME=StandardROIHeads",
    ),
    ({}, "MODEL.ANCHOR_GENERATOR.ANGLES", [[0]], "set MODEL.ANCHOR_GENERATOR.NAME=RotatedAnchorGenerator"),
    ({}, "MODEL.ROI_BOX_HEAD.CONV_DIM", 64, "without box_convs"),
    ({}, "MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES", 9, "without MODEL.ROI_BOX_HEAD.USE_FED_LOSS"),
    ({}, "MODEL.RESNETS.DEFORM_NUM_GROUPS", 2, "without MODEL.RESNETS.DEFORM_ON_PER_STAGE"),
    ({"MODEL.RPN.BBOX_REG_LOSS_TYPE": "giou"}, "MODEL.RPN.SMOOTH_L1_BETA", 0.1, "_TYPE=giou; omit it, or"),
    ({"MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE": "giou"}, "box_smooth_l1_beta", 0.1, "_TYPE=giou"),
    ({}, "head_norm", "gn", "without box_convs"),
]


@pytest.mark.parametrize(("others", "name", "value", "reason"), WITHOUT, ids=lambda value: str(value)[:40])
def test_keys_without_effect_beside_others_are_refused(
    others: dict[str, Any], name: str, value: Any, reason: str
) -> None:
    check("detection/own@1", {**SMALL, **others})
    with pytest.raises(UserError) as caught:
        check("detection/own@1", {**SMALL, **others, name: value})
    assert str(caught.value).startswith(f"setting '{name}' of ") and reason in str(caught.value)


@pytest.mark.parametrize(
    "stated",
    [
        {"detector": "pyramid", "MODEL.FPN.FUSE_TYPE": "avg"},
        {"MODEL.FPN.FUSE_TYPE": "avg", "MODEL.RESNETS.STRIDE_IN_1X1": True},
        {"MODEL.ROI_HEADS.NAME": "CascadeROIHeads", "MODEL.ROI_BOX_CASCADE_HEAD.IOUS": [0.5, 0.6, 0.8]},
        {"MODEL.ROI_HEADS.NAME": "HeadsOfAPlugin", "MODEL.ROI_BOX_CASCADE_HEAD.IOUS": [0.5, 0.6, 0.8]},
        {"box_convs": 1, "MODEL.ROI_BOX_HEAD.CONV_DIM": 64, "head_norm": "gn"},
        {"masks": True, "head_norm": "gn"},
        {"head_norm": "none", "box_smooth_l1_beta": 0.1},
        {
            "detector": "pyramid",
            "MODEL.ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
            "MODEL.ROI_BOX_HEAD.NUM_CONV": 1,
            "MODEL.ROI_BOX_HEAD.CONV_DIM": 64,
        },
    ],
    ids=str,
)
def test_keys_with_an_effect_are_taken(stated: dict[str, Any]) -> None:
    check("detection/own@1", {**SMALL, **stated})


def test_the_levels_of_a_retinanet_have_keys() -> None:
    stated = {**SMALL, "detector": "retinanet", "MODEL.FPN.FUSE_TYPE": "avg"}
    check("detection/patterns@1", stated)
