"""Random weights in the feature bank: the same as drawn anew, never for other facts, replaced if damaged."""

from pathlib import Path

import pytest
import torch

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset
from mmbench.transfer import stored_controls
from mmbench.transfer.controls import recalibrated_random_backbone
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.inputs.framing import FIRST_VERSIONS
from mmbench.transfer.stored_controls import random_control

ARCH = "mixmask_resnet8"


def control(
    bank: FeatureBank | None, dataset: Dataset, *, seed: int = 4, high_pass: bool = False
) -> Backbone:
    return random_control(ARCH, seed, dataset, high_pass, None, FIRST_VERSIONS, bank)


def assert_same(found: Backbone, expected: Backbone) -> None:
    assert found.arch == expected.arch
    assert found.card == expected.card
    assert list(found.state_dict) == list(expected.state_dict)
    for name, tensor in expected.state_dict.items():
        assert found.state_dict[name].dtype == tensor.dtype
        assert torch.equal(found.state_dict[name], tensor), name


def refuse(*arguments: object) -> Backbone:
    raise AssertionError("a network was built")


@pytest.mark.parametrize("high_pass", [False, True])
def test_a_warm_bank_gives_the_same_weights_without_a_network(
    gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, high_pass: bool
) -> None:
    expected = recalibrated_random_backbone(ARCH, 4, gratings, high_pass)
    assert_same(control(FeatureBank(tmp_path), gratings, high_pass=high_pass), expected)
    monkeypatch.setattr(stored_controls, "recalibrated_random_backbone", refuse)
    bank = FeatureBank(tmp_path)
    assert_same(control(bank, gratings, high_pass=high_pass), expected)
    assert bank.take_notes() == ()


def test_other_facts_are_other_entries(gratings: Dataset, tmp_path: Path) -> None:
    bank = FeatureBank(tmp_path)
    control(bank, gratings)
    control(bank, gratings, seed=5)
    control(bank, gratings, high_pass=True)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        control(bank, gratings)
    finally:
        torch.set_num_threads(threads)
    assert len(list(tmp_path.glob("random-*.safetensors"))) == 4


@pytest.mark.parametrize("place", [100, -1])
def test_a_damaged_entry_is_replaced_and_reported(gratings: Dataset, tmp_path: Path, place: int) -> None:
    expected = control(FeatureBank(tmp_path), gratings)
    (path,) = tmp_path.glob("random-*.safetensors")
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[place] ^= 1
    path.write_bytes(damaged)
    bank = FeatureBank(tmp_path)
    assert_same(control(bank, gratings), expected)
    (note,) = bank.take_notes()
    assert note.startswith(f"random weights were drawn again: {path.name} in the bank ")
    assert path.read_bytes() == whole


def test_without_a_folder_nothing_is_stored(
    gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_same(control(FeatureBank(), gratings), control(None, gratings))
    assert list(tmp_path.iterdir()) == []
