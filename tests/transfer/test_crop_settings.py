"""Settings of random crops: what a record holds, and which versions of protocols draw again."""

from __future__ import annotations

import pytest

from mmbench.images.crop_rule import ASPECT, CropRule
from mmbench.transfer.crop_settings import CropSettings
from mmbench.transfer.protocol import protocols
from mmbench.transfer.resolution import parse_settings
from mmbench.transfer.tasks.linear.settings import AugmentedProbe


def test_a_record_holds_what_is_stated() -> None:
    """Records of versions that knew nothing but cutting have equal settings."""
    assert CropSettings().recorded() == {"crop_scale": [0.08, 1.0]}
    assert CropSettings(crop_fit="cut").recorded() == {"crop_scale": [0.08, 1.0], "crop_fit": "cut"}
    assert CropSettings(crop_fit="redraw").crop_rule() == CropRule((0.08, 1.0), ASPECT, "redraw")


@pytest.mark.parametrize(
    "name",
    [
        "linear/moco",
        "linear/moco-sweep",
        "linear/cifar",
        "finetune/full",
        "finetune/cifar",
        "semisup/1pct",
        "semisup/10pct",
        "semisup/cifar-1pct",
        "semisup/cifar-10pct",
    ],
)
def test_protocols_draw_again_from_version_3_on(name: str) -> None:
    found = protocols()
    assert [found[f"{name}@{version}"].settings.get("crop_fit") for version in (1, 2, 3)] == [
        None,
        None,
        "redraw",
    ]
    assert f"{name}@4" not in found


def test_the_settings_of_a_protocol_are_recorded_as_its_version_states_them() -> None:
    older, newer = (
        parse_settings(AugmentedProbe, protocols()[f"linear/moco@{version}"], {}) for version in (2, 3)
    )
    assert newer.crop_rule().fit == "redraw" and older.crop_rule().fit == "cut"
    assert newer.recorded() == {**older.recorded(), "crop_fit": "redraw"}
    stated = parse_settings(AugmentedProbe, protocols()["linear/moco@3"], {"crop_fit": "cut"})
    assert stated.recorded()["crop_fit"] == "cut"
