"""The feature bank: the same numbers as without it, computed once, whatever is interrupted or asked for."""

import functools
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from running import extract, run_task

from mmbench.checkpoints.backbone import Backbone, random_backbone
from mmbench.checkpoints.card import HighPass, Preprocessing
from mmbench.data import Dataset, ImageSplit
from mmbench.errors import UserError
from mmbench.records.store import Result, ResultStore
from mmbench.transfer.compute import Compute
from mmbench.transfer.controls import pixels_backbone
from mmbench.transfer.inputs import feature_bank as bank_module
from mmbench.transfer.inputs import features as features_module
from mmbench.transfer.inputs.feature_bank import FeatureBank
from mmbench.transfer.inputs.images import MemoryImages

CPU = torch.device("cpu")
COMPUTE = Compute(CPU)


def images_of(dataset: Dataset, split: Any = "train", size: int = 16) -> MemoryImages:
    return MemoryImages(dataset.split(split), size)


def test_features_come_back_as_they_were_computed(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    bank, images = FeatureBank(tmp_path), images_of(gratings)
    expected = extract(backbone, images.images, CPU)
    for _ in range(2):
        found = bank.features(backbone, images, COMPUTE)
        assert torch.equal(found, expected) and found.dtype == torch.float32
    assert bank.computed == 120  # once
    assert torch.equal(FeatureBank(None).features(backbone, images, COMPUTE), expected)
    assert FeatureBank(tmp_path).features(backbone, images, COMPUTE).shape == (120, 128)


def test_half_precision_halves_the_file(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    images = images_of(gratings)
    whole = FeatureBank(tmp_path / "32").features(backbone, images, COMPUTE)
    half = FeatureBank(tmp_path / "16", "float16").features(backbone, images, COMPUTE)
    assert half.dtype == torch.float16 and torch.equal(half, whole.half())
    sizes = [next((tmp_path / name).glob("*.npy")).stat().st_size for name in ("32", "16")]
    assert sizes == [128 + 120 * 128 * 4, 128 + 120 * 128 * 2]


def test_features_that_do_not_fit_into_half_precision_are_refused(gratings: Dataset, tmp_path: Path) -> None:
    backbone = random_backbone("mixmask_resnet8", 0, Preprocessing(image_size=16))
    scaled = {
        name: tensor * 1e6 if "bn1.weight" in name else tensor for name, tensor in backbone.state_dict.items()
    }
    with pytest.raises(UserError, match="do not fit into float16; keep the bank in float32"):
        FeatureBank(tmp_path, "float16").features(
            replace(backbone, state_dict=scaled), images_of(gratings), COMPUTE
        )
    assert not list(tmp_path.glob("*.npy"))


def changed_weights(backbone: Backbone) -> Backbone:
    first = {**backbone.state_dict, "conv1.weight": backbone.state_dict["conv1.weight"] * (1 + 1e-6)}
    return replace(backbone, state_dict=first)


def with_card(backbone: Backbone, **changes: Any) -> Backbone:
    preprocessing = backbone.card.preprocessing.model_copy(update=changes)
    return replace(backbone, card=backbone.card.model_copy(update={"preprocessing": preprocessing}))


CHANGES: dict[str, Callable[[Backbone, MemoryImages], Any]] = {
    "weights": lambda backbone, images: (changed_weights(backbone), images, COMPUTE),
    "mean": lambda backbone, images: (with_card(backbone, mean=(0.4, 0.4, 0.4)), images, COMPUTE),
    "high-pass": lambda backbone, images: (
        with_card(backbone, high_pass=HighPass(kernel_size=3, sigma=1.0)),
        images,
        COMPUTE,
    ),
    "size": lambda backbone, images: (with_card(backbone, image_size=18), images, COMPUTE),
    "pixels": lambda backbone, images: (pixels_backbone(16), images, COMPUTE),
    "image": lambda backbone, images: (
        backbone,
        MemoryImages(ImageSplit(images.images.clone().add_(1), images.labels), 16),
        COMPUTE,
    ),
    "labels": lambda backbone, images: (
        backbone,
        MemoryImages(ImageSplit(images.images, images.labels.flip(0)), 16),
        COMPUTE,
    ),
    "precision": lambda backbone, images: (backbone, images, Compute(CPU, "bfloat16")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_features_changes_the_address(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, change: str
) -> None:
    bank, images = FeatureBank(tmp_path), images_of(gratings)
    assert bank.address(*CHANGES[change](backbone, images)) != bank.address(backbone, images, COMPUTE)


def test_the_address_depends_on_nothing_else(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    bank, images = FeatureBank(tmp_path), images_of(gratings)
    card = backbone.card.model_copy(update={"arm": "another", "seed": 9})
    address = bank.address(backbone, images, COMPUTE)
    assert bank.address(replace(backbone, card=card), images, COMPUTE) == address
    assert bank.address(backbone, images, Compute(CPU, workers=3)) == address
    assert FeatureBank(tmp_path, "float16").address(backbone, images, COMPUTE) != address


def test_an_interrupted_pass_goes_on(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bank_module, "PIECE", 32)
    monkeypatch.setattr(features_module, "BATCH", 16)
    monkeypatch.setattr(features_module, "pass_over", functools.partial(features_module.pass_over, batch=16))
    images = images_of(gratings)
    whole = FeatureBank(tmp_path / "whole").features(backbone, images, COMPUTE)

    def stop(done: int, total: int) -> None:
        if done == 80:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureBank(tmp_path / "parts").features(backbone, images, COMPUTE, stop)
    assert not list((tmp_path / "parts").glob("*.npy"))
    rest = FeatureBank(tmp_path / "parts")
    assert torch.equal(rest.features(backbone, images, COMPUTE), whole)
    assert rest.computed == 120 - 64
    assert {path.suffix for path in (tmp_path / "parts").iterdir()} == {".npy", ".json", ".lock"}


@pytest.mark.parametrize("damage", ["empty", "cut", "other shape", "words"])
def test_a_damaged_entry_is_computed_anew(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, damage: str
) -> None:
    bank, images = FeatureBank(tmp_path), images_of(gratings)
    expected = bank.features(backbone, images, COMPUTE).clone()
    (path,) = tmp_path.glob("*.npy")
    if damage == "other shape":
        np.save(path, np.zeros((7, 3), np.float32))
    else:
        path.write_bytes({"empty": b"", "cut": path.read_bytes()[:900], "words": b"hello" * 99}[damage])
    again = FeatureBank(tmp_path)
    assert torch.equal(again.features(backbone, images, COMPUTE), expected) and again.computed == 120


def test_what_is_read_can_be_changed_without_changing_the_file(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    bank, images = FeatureBank(tmp_path), images_of(gratings)
    bank.features(backbone, images, COMPUTE).zero_()
    assert float(bank.features(backbone, images, COMPUTE).abs().sum()) > 0


def test_of_two_at_once_one_computes(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> None:
    banks, images = [FeatureBank(tmp_path) for _ in range(3)], images_of(gratings)
    assert images.fingerprint  # computed once, before the threads
    threads = [threading.Thread(target=bank.features, args=(backbone, images, COMPUTE)) for bank in banks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(bank.computed for bank in banks) == 120


def test_a_full_disk_is_refused_before_anything_is_written(
    backbone: Backbone, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, needed: int, what: str) -> None:
        raise UserError(f"not enough disk for {what}: {needed}")

    monkeypatch.setattr(bank_module, "require_free_space", full)
    with pytest.raises(UserError, match=f"the feature bank: {120 * 128 * 4}"):
        FeatureBank(tmp_path).features(backbone, images_of(gratings), COMPUTE)
    assert {path.suffix for path in tmp_path.iterdir()} == {".lock"}


def test_every_frozen_probe_reads_the_same_bank(
    backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    runs: dict[str, dict[str, Any]] = {
        "knn/patterns@1": {},
        "knn/grid@1": {"neighbours": [5, 20]},
        "linear/patterns@1": {"weight_decays": [0.1]},
        "linear/sweep@1": {"epochs": 2, "learning_rates": [0.1]},
        "logreg/lbfgs@1": {"candidates": 3},
        "lowshot/k@1": {"shots": [1, 4], "draws": 2},
    }

    def measure(bank: FeatureBank, folder: Path) -> list[Result]:
        store = ResultStore(folder)
        return [
            run_task(
                *(protocol.partition("/")[0], backbone, gratings, store),
                work=tmp_path / "work",
                protocol_id=protocol,
                overrides=overrides,
                bank=bank,
            )
            for protocol, overrides in runs.items()
        ]

    bank = FeatureBank(tmp_path / "bank")
    shared, own = measure(bank, tmp_path / "shared"), measure(FeatureBank(), tmp_path / "own")
    assert bank.computed == 120 + 60 + 60
    for with_bank, without in zip(shared, own, strict=True):
        assert with_bank.metrics == without.metrics
        assert without.images_per_second is not None
    # The first saw train and test, the second val; the others' seconds are without the pass, and say so.
    told = ["features came from the feature bank" in " ".join(result.notes) for result in shared]
    assert told == [False, False, True, True, True, True]
    assert [result.images_per_second is None for result in shared] == told
    assert not any("feature bank" in note for result in own for note in result.notes)
