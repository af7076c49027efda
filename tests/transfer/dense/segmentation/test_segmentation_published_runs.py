"""Every published protocol on a tiny data set in its real layout: trained, killed, continued, recorded."""

from __future__ import annotations

from pathlib import Path

import pytest
from published_layouts import write_ade20k, write_cityscapes, write_voc12aug
from running import run_task
from small_detectors import Killed, SaveThenKill

from mmbench.checkpoints.backbone import random_backbone
from mmbench.data import Dataset, load_dataset
from mmbench.records.store import ResultStore
from mmbench.transfer import resume
from mmbench.transfer.protocol import get_protocol, protocols

OURS = ("segmentation/own@", "segmentation/patterns@")
PUBLISHED = [
    name for name, found in protocols().items() if found.task == "segmentation" and not name.startswith(OURS)
]
CLASSES = {"voc12aug": 21, "cityscapes": 19, "ade20k": 150}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_voc12aug(root / "voc12aug", prepared=True)
    write_cityscapes(root / "cityscapes")
    write_ade20k(root / "ade20k")
    return root


def data_of(name: str, home: Path) -> Dataset:
    kind = name.partition("/")[2].partition("-")[0]
    return load_dataset("voc12aug" if kind == "voc" else kind, home)


def tiny(settings: dict) -> dict:
    """Return what makes a protocol small enough for a CPU; every value of it is tested elsewhere."""
    overrides = {"batch_size": 2, "iterations": 3, "crop": 32, "resize": (64, 40), "head_channels": 8}
    if settings.get("auxiliary_weight"):
        overrides["auxiliary_channels"] = 8
    if settings.get("schedule") == "step":
        overrides["decay_at"] = [2]
    if settings.get("test_mode") == "slide":
        overrides |= {"test_crop": 32, "test_stride": 24}
    return overrides


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_protocol_is_killed_and_goes_on(
    name: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "SAVE_EVERY_SECONDS", float("inf"))
    protocol = get_protocol(name)
    dataset, store = data_of(name, home), ResultStore(tmp_path / "results")
    asked = {"protocol_id": name, "overrides": tiny(protocol.settings), "workers": 0}

    def measure(report: SaveThenKill):
        weights = random_backbone("mixmask_resnet18", 0)
        return run_task(
            "segmentation", weights, dataset, store, report=report, work=tmp_path / "work", **asked
        )

    with pytest.raises(Killed):
        measure(SaveThenKill(monkeypatch, save_at=1, kill_at=2))
    assert not list(store.items())
    goes_on = SaveThenKill(monkeypatch, save_at=0, kill_at=0)
    result = measure(goes_on)
    assert goes_on.seen == [2, 3]
    data = dataset.require_label_maps()
    assert len(data.classes) == CLASSES[dataset.name]
    assert {"mIoU", "mAcc", "aAcc"} <= result.metrics.keys() and result.primary_metric == "mIoU"
    assert result.dataset.evaluated_split == protocol.split
    assert result.metrics["mIoU"].n == len(data.split(protocol.split).images)
    assert set(result.per_class) <= set(data.classes)
    assert {path for path, _ in store.items()} == {next(store.root.rglob("*seed0.json"))}
