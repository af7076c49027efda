"""Rename tables read both ways, match whole names, and know nothing of substrings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.checkpoints.format import FORMATS
from mmbench.checkpoints.formats.detectron2 import RENAMING
from mmbench.checkpoints.tensors.renaming import Renaming

NUMBERS = st.integers(0, 99)


@pytest.mark.parametrize(
    ("detectron2", "torchvision"),
    [
        ("stem.conv1.weight", "conv1.weight"),
        ("stem.conv1.norm.running_var", "bn1.running_var"),
        ("res2.0.shortcut.weight", "layer1.0.downsample.0.weight"),
        ("res4.22.conv3.norm.bias", "layer3.22.bn3.bias"),
    ],
)
def test_names_by_hand(detectron2: str, torchvision: str) -> None:
    assert RENAMING.to_torchvision(detectron2) == torchvision
    assert RENAMING.from_torchvision(torchvision) == detectron2


@pytest.mark.parametrize(
    "name", ["res6.0.conv1.weight", "xres2.0.conv1.weight", "res2.0.conv1.weightx", "res2.0.conv1.bias", ""]
)
def test_what_is_no_whole_name_has_no_counterpart(name: str) -> None:
    assert RENAMING.to_torchvision(name) is None


def test_dots_are_dots() -> None:
    assert RENAMING.to_torchvision("stemXconv1Xweight") is None


@given(stage=st.integers(2, 5), block=NUMBERS, convolution=st.integers(1, 3))
def test_there_and_back(stage: int, block: int, convolution: int) -> None:
    for name in (f"res{stage}.{block}.conv{convolution}.weight", f"res{stage}.{block}.shortcut.norm.weight"):
        ours = RENAMING.to_torchvision(name)
        assert ours is not None and ours.startswith(f"layer{stage - 1}.{block}.")
        assert RENAMING.from_torchvision(ours) == name


@given(st.text(max_size=40))
def test_any_name_is_kept_dropped_or_foreign_in_every_format(name: str) -> None:
    for entry in map(FORMATS.get, FORMATS.names()):
        canonical, why = entry.fate(name)
        assert (canonical is None) == bool(why)


def test_spellings_are_swapped_on_the_way_back() -> None:
    table = Renaming((("b{letter}", "conv{letter}"),), {"letter": {"a": "1", "b": "2"}})
    assert (table.to_torchvision("bb"), table.from_torchvision("conv1")) == ("conv2", "ba")
    assert table.to_torchvision("bc") is None
