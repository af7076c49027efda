"""Every published protocol on a tiny data set in its real layout: trained, killed, continued, recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from annotated_layouts import write_cityscapes, write_coco_official, write_devkit
from running import run_task
from small_detectors import Killed, SaveThenKill

from mmbench.checkpoints.backbone import random_backbone
from mmbench.data import Dataset, load_dataset
from mmbench.errors import UserError
from mmbench.records.store import Result, ResultStore
from mmbench.transfer import resume
from mmbench.transfer.protocol import get_protocol, protocols

OURS = ("detection/own@", "detection/patterns@")
PUBLISHED = [
    name for name, found in protocols().items() if found.task == "detection" and not name.startswith(OURS)
]
# Of the built configuration every value is tested; here it is made small enough for a CPU.
TINY = {
    "batch_size": 2,
    "iterations": 3,
    "decay_at": [2],
    "warmup_iterations": 1,
    "learning_rate": 1e-4,
    "train_sizes": [48],
    "test_size": 48,
    "max_size": 64,
}
FEW = {"train_proposals": [12, 3], "test_proposals": [12, 3], "rpn_batch": 16, "roi_batch": 4}
NARROW = {"fpn_channels": 16, "box_width": 16}
FEWER = {
    "c4": FEW,
    "fpn": {**FEW, **NARROW},
    "keypoint": {**FEW, **NARROW},
    "retinanet": {"fpn_channels": 16},
}
METRICS = {
    "coco": {"AP", "AP50", "AP75"},
    "voc2007": {"AP", "AP50", "AP75", "coco_AP", "coco_AP50", "coco_AP75"},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    write_devkit(root / "voc", images=4)
    write_coco_official(root / "coco")
    write_cityscapes(root / "cityscapes", {"train": ("ulm_1_1", "ulm_2_1", "jena_3_1"), "val": ("ulm_4_1",)})
    return root


def data_of(name: str, home: Path) -> Dataset:
    kind = name.partition("/")[2].partition("-")[0]
    return load_dataset("coco-keypoints" if "keypoint" in name else kind, home)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_protocol_is_killed_and_goes_on(
    name: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "SAVE_EVERY_SECONDS", float("inf"))
    protocol = get_protocol(name)
    dataset, store = data_of(name, home), ResultStore(tmp_path / "results")
    precise = min(1, protocol.settings.get("precise_bn_iterations", 0))
    overrides = {**TINY, **FEWER[protocol.settings["detector"]], "precise_bn_iterations": precise}
    asked = {"protocol_id": name, "overrides": overrides, "workers": 0, "work": tmp_path / "work"}
    with pytest.raises(Killed):
        killed = SaveThenKill(monkeypatch, save_at=1, kill_at=2)
        run_task("detection", random_backbone("mixmask_resnet18", 0), dataset, store, report=killed, **asked)
    assert not list(store.items())
    goes_on = SaveThenKill(monkeypatch, save_at=0, kill_at=0)
    result = run_task(
        "detection", random_backbone("mixmask_resnet18", 0), dataset, store, report=goes_on, **asked
    )
    assert goes_on.seen == [2, 3]
    data = dataset.require_annotated()
    settings = protocol.settings
    wanted = set(METRICS[settings.get("evaluation", "coco")])
    wanted |= {"mask_AP", "mask_AP50", "mask_AP75"} if settings.get("masks") else set()
    wanted |= {"keypoint_AP"} if settings.get("detector") == "keypoint" else set()
    assert wanted <= result.metrics.keys() and result.primary_metric == protocol.metric
    assert result.dataset.evaluated_split == protocol.split
    assert result.metrics[protocol.metric].n == len(data.split(protocol.split).images)
    assert {path for path, _ in store.items()} == {next(store.root.rglob("*seed0.json"))}


def test_stated_tolerances_reach_the_record(home: Path, tmp_path: Path) -> None:
    name, sigmas = "detection/coco-keypoint-2x@1", [round(0.02 + 0.001 * number, 3) for number in range(17)]
    store = ResultStore(tmp_path / "results")

    def run(stated: list[float]) -> Result:
        overrides = {**TINY, **FEWER["keypoint"], "precise_bn_iterations": 0, "keypoint_sigmas": stated}
        asked: dict[str, Any] = {
            "protocol_id": name,
            "overrides": overrides,
            "workers": 0,
            "work": tmp_path / "work",
        }
        backbone = random_backbone("mixmask_resnet18", 0)
        return run_task("detection", backbone, data_of(name, home), store, **asked)

    with pytest.raises(UserError, match=r"^keypoint_sigmas has 16 numbers, and data set .* has 17 keypoints"):
        run(sigmas[1:])
    record = run(sigmas)
    assert record.config["keypoint_sigmas"] == sigmas
    assert any("keypoint_sigmas: nose 0.02, left_eye 0.021, " in note for note in record.notes)
