"""What is stated for another detector than the one that an architecture gets is named."""

from __future__ import annotations

from typing import Any

import pytest

from mmbench.checkpoints.card import ModelCard
from mmbench.transfer.dense.detection.taken import notes_on_detector
from mmbench.transfer.resolution import resolve_task

SMALL = {"train_sizes": [64], "test_size": 64}
PATTERNS, OWN = "detection/patterns@1", "detection/own@1"


def notes(protocol: str, arch: str, stated: dict[str, Any]) -> list[str]:
    task = resolve_task(None, protocol, stated)
    task.require_effects()
    card, settings = ModelCard(arm="any", arch=arch), task.settings
    return notes_on_detector(card, settings, task.overrides, task.protocol.settings)  # type: ignore[arg-type]


BOTH = {"c4_anchor_sizes": [16, 32], "pyramid_channels": 24, "pyramid_box_bins": 5}


@pytest.mark.parametrize(
    ("arch", "taken", "other"),
    [
        ("mixmask_resnet8", "pyramid", "c4_anchor_sizes"),
        ("mixmask_resnet18", "c4", "pyramid_channels, pyramid_box_bins"),
    ],
)
def test_settings_of_the_detector_that_auto_does_not_take_are_named(
    arch: str, taken: str, other: str
) -> None:
    (note,) = notes(PATTERNS, arch, {**SMALL, **BOTH})
    assert note == f"no effect on the detector {taken}, which auto takes for {arch}: {other}"


@pytest.mark.parametrize(
    ("arch", "key", "value", "named"),
    [
        ("mixmask_resnet8", "MODEL.RESNETS.STRIDE_IN_1X1", True, True),
        ("mixmask_resnet18", "MODEL.RESNETS.STRIDE_IN_1X1", True, False),
        ("mixmask_resnet18", "MODEL.FPN.FUSE_TYPE", "avg", True),
        ("mixmask_resnet18", "MODEL.RPN.NMS_THRESH", 0.6, False),
        ("mixmask_resnet8", "MODEL.RPN.NMS_THRESH", 0.6, False),
    ],
)
def test_keys_of_the_library_are_named_too(arch: str, key: str, value: Any, named: bool) -> None:
    found = notes(PATTERNS, arch, {**SMALL, key: value})
    assert [note.endswith(f": {key}") for note in found] == [True] * named


def test_what_is_stated_for_an_fpn_that_the_pyramid_stands_in_for_is_named() -> None:
    (note,) = notes(OWN, "mixmask_resnet8", {"fpn_channels": 128, "rpn_batch": 64})
    assert note == "no effect on the detector pyramid, which fpn takes for mixmask_resnet8: fpn_channels"
    assert not notes(OWN, "mixmask_resnet18", {"fpn_channels": 128})


def test_settings_that_change_nothing_are_not_named() -> None:
    recorded = resolve_task(None, PATTERNS, SMALL).settings.recorded()
    assert not notes(PATTERNS, "mixmask_resnet18", recorded)
