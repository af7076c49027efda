"""Detectron2's keys that have a setting of mmbench's, or that a run does not follow, are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from detectron2.config import get_cfg

from mmbench.errors import UserError
from mmbench.transfer.dense.detection.detector_settings import (
    C4OrPyramidSettings,
    FpnSettings,
    KeypointSettings,
    RetinaNetSettings,
)
from mmbench.transfer.dense.detection.reserved_keys import IN_SETTINGS, RESERVED
from mmbench.transfer.resolution import resolve_task


@pytest.mark.parametrize(
    ("protocol", "key", "setting"),
    [
        ("voc-c4-24k@2", "SOLVER.MAX_ITER", "iterations"),
        ("voc-c4-24k@2", "SOLVER.IMS_PER_BATCH", "batch_size"),
        ("voc-c4-24k@2", "MODEL.MASK_ON", "masks"),
        ("voc-c4-24k@2", "MODEL.BACKBONE.FREEZE_AT", "freeze_at"),
        ("voc-c4-24k@2", "MODEL.RESNETS.NORM", "backbone_norm"),
        ("voc-c4-24k@2", "MODEL.ANCHOR_GENERATOR.SIZES", "c4_anchor_sizes"),
        ("own@1", "MODEL.ANCHOR_GENERATOR.SIZES", "anchor_sizes"),
        ("own@1", "MODEL.FPN.NORM", "fpn_norm"),
    ],
)
def test_keys_that_have_a_setting_name_it(protocol: str, key: str, setting: str) -> None:
    with pytest.raises(UserError, match=rf"{key} has a setting.*; use --set {setting}=\.\.\.") as caught:
        resolve_task("detection", f"detection/{protocol}", {key: 1})
    assert "\n" not in str(caught.value)


def test_a_key_is_free_where_the_detector_has_no_such_setting() -> None:
    key = "MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS"
    keys = {key: [[1.0]]}
    found = resolve_task("detection", "detection/voc-c4-24k@2", keys).settings
    assert found.recorded()["library"] == keys
    with pytest.raises(UserError, match="use --set anchor_ratios="):
        resolve_task("detection", "detection/own@1", keys)


def test_every_reserved_key_and_setting_exists() -> None:
    kinds = (C4OrPyramidSettings, FpnSettings, KeypointSettings, RetinaNetSettings)
    known = {name for kind in kinds for name in kind.model_fields}
    assert {name for names in IN_SETTINGS.values() for name in names} <= known
    ours = {"MODEL.TIMM", "MODEL.MMBENCH", "MODEL.HIGH_PASS", "SOLVER.OPTIMIZER", "SOLVER.BACKBONE_LR_FACTOR"}
    for key in (RESERVED.keys() | IN_SETTINGS.keys()) - ours:
        node: Any = get_cfg()
        for part in key.split("."):
            assert part in node, key
            node = node[part]
