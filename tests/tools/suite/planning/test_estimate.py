"""Estimates: records of this machine first, else a guess that grows with the work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmbench.environment import processor_name
from mmbench.tools.suite.definition.suite_file import read_suite
from mmbench.tools.suite.planning.cell import DataWork, PretrainWork, TransferWork
from mmbench.tools.suite.planning.estimate import Estimates, estimates, recipe_of, rough_seconds
from mmbench.tools.suite.planning.plan import plan_of
from mmbench.tools.suite.planning.wall_time import wall_seconds

MOCO = PretrainWork(arm="moco", seed=0, data="patterns", method="moco", arch="mixmask_resnet8", epochs=8)
KNN = TransferWork(
    arm="moco", weights=MOCO, weights_seed=0, data="patterns", task="knn", protocol="knn/patterns@2", seed=0
)


def record(seconds: float, **changes: Any) -> dict[str, Any]:
    """Return what an estimate reads of a record."""
    values: dict[str, Any] = {
        "protocol": "knn/patterns@2",
        "dataset": {"name": "patterns"},
        "config": {"neighbours": 20},
        "wall_seconds": seconds,
        "provenance": {"processor": processor_name(), "device": "cpu"},
        "model": {
            "arch": "mixmask_resnet8",
            "method": "moco",
            "pretrain_data": "patterns",
            "source_format": "run",
            "pretrain_seconds": 40.0,
            "epochs": 4,
        },
        "notes": [],
    }
    return values | changes


def written(folder: Path, *records: dict[str, Any]) -> Estimates:
    for number, values in enumerate(records):
        path = folder / "patterns" / "knn" / f"{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    return estimates([folder], on_gpu=False)


def test_without_records_everything_is_a_rough_guess(tmp_path: Path) -> None:
    known = estimates([tmp_path, tmp_path / "nowhere"], on_gpu=False)
    assert known.of(KNN) == (4.5, "rough") and known.of(MOCO) == (8 * 10.5, "rough")
    assert known.of(DataWork(data="patterns")) == (39.0, "rough")


def test_the_median_of_records_of_this_machine_counts(tmp_path: Path) -> None:
    known = written(tmp_path, record(11.0), record(13.0), record(90.0))
    assert known.of(KNN) == (13.0, "measured")
    assert known.of(MOCO) == (8 * 40 / 4, "measured")  # 10 s an epoch
    longer = MOCO.model_copy(update={"epochs": 20})
    assert known.of(longer) == (200.0, "measured")


@pytest.mark.parametrize(
    "changes",
    [
        {"provenance": {"processor": "another", "device": "cpu"}},
        {"provenance": {"processor": processor_name(), "device": "NVIDIA V100"}},
        {"protocol": "knn/patterns@1"},
        {"dataset": {"name": "cifar10"}},
        {"config": {"epochs": 3}},
        {"notes": ["features came from the feature bank; seconds are without their pass"]},
        {"model": None},
        {"wall_seconds": "long"},
    ],
)
def test_records_of_other_work_or_machines_do_not_count(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert written(tmp_path, record(11.0, **changes)).of(KNN) == (4.5, "rough")


def test_a_damaged_record_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[1]")
    assert written(tmp_path, record(11.0)).of(KNN) == (11.0, "measured")


def test_the_guess_for_imagenet_on_gpus_is_what_the_authors_of_moco_report() -> None:
    moco = PretrainWork(arm="moco", seed=0, data="imagenet", method="moco", scale="imagenet")
    hours = rough_seconds(moco, on_gpu=True) / 3600
    assert hours == pytest.approx(53 * 8, rel=0.05)  # 53 h on 8 V100
    mixmask = moco.model_copy(update={"method": "mixmask"})
    assert rough_seconds(mixmask, on_gpu=True) == pytest.approx(7 / 4 * rough_seconds(moco, on_gpu=True))


def test_the_guess_for_shipped_suites_on_two_cores_is_about_what_they_took() -> None:
    def minutes(name: str) -> float:
        return wall_seconds(plan_of(read_suite(name)).cells, (), 2) / 60

    assert 16.9 / 1.5 < minutes("demo") < 16.9 * 1.5
    # Processor seconds: of pretraining for 1,000 images, as the suite's file says, and of single transfers.
    epochs, seeds, images = 1, 3, 54
    trained = sum({"moco": 2.6, "mscn": 3.0, "unmix": 4.4, "mixmask": 4.8, "erase": 4.9}.values())
    pretraining = trained * images * epochs * seeds
    transfers = 19 * 40 + 19 * 58 + 18 * 65 + 18 * 130  # knn, linear, 1% and 10% of the labels
    took = (pretraining + transfers) / 2 / 60
    assert took / 1.5 < minutes("fashion-mnist") < took * 1.5
    works = [cell.work for cell in plan_of(read_suite("fashion-mnist")).cells]
    guessed = sum(rough_seconds(work) for work in works if isinstance(work, PretrainWork))
    assert pretraining / 1.5 < guessed < pretraining * 1.5


def test_images_of_a_folder_are_counted(tmp_path: Path) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    for folder, count in ((few, 4), (many, 40)):
        (folder / "train" / "cats").mkdir(parents=True)
        for number in range(count):
            (folder / "train" / "cats" / f"{number}.png").touch()
    seconds = [rough_seconds(MOCO.model_copy(update={"data": str(folder)})) for folder in (few, many)]
    assert seconds[1] == pytest.approx(10 * seconds[0])
    # 8 epochs of 40 images, four passes of 12 million multiplications each
    assert seconds[1] == pytest.approx(8 * 40 * 4 * 0.012 / 16)


def test_the_scale_is_that_of_the_run() -> None:
    assert recipe_of("moco", None, "cifar100").scale.name == "cifar100"
    assert recipe_of("moco", None, "patterns").scale.name == "small-images"
    assert recipe_of("moco-imagenet", None, "cifar100").scale.name == "imagenet"
    assert recipe_of("moco", None, "some/folder").scale.name == "small-images"


def test_a_pretraining_in_several_processes_is_as_many_times_faster() -> None:
    fours = MOCO.model_copy(update={"processes": 4})
    imagenet = PretrainWork(arm="moco", seed=0, data="imagenet", method="moco", scale="imagenet", processes=8)
    assert rough_seconds(fours) == rough_seconds(MOCO) / 4
    assert rough_seconds(imagenet, on_gpu=True) / 3600 == pytest.approx(53, rel=0.05)  # on 8 V100
    assert rough_seconds(fours, at_once=2) == rough_seconds(MOCO) / 2  # of two cores
    assert rough_seconds(MOCO, at_once=2) == rough_seconds(MOCO)


def test_measured_times_of_pretrainings_are_of_so_many_processes(tmp_path: Path) -> None:
    fours = MOCO.model_copy(update={"processes": 4})
    # 40 s for 4 epochs, by an unknown number of processes
    known = written(tmp_path, record(11.0))
    assert known.of(MOCO) == (80.0, "measured") and known.of(fours) == (rough_seconds(fours), "rough")
    # twice as fast in two processes, which says nothing of one
    twice = record(11.0)
    twice["model"] |= {"pretrain_seconds": 20.0, "pretrain_processes": 2}
    known = written(tmp_path / "cpu", record(11.0), twice)
    assert known.of(MOCO) == (80.0, "measured") and known.of(fours) == (rough_seconds(fours), "rough")
    # 40 s for 4 epochs, by two GPUs
    model = record(1.0)["model"] | {"pretrain_compute": {"kind": "gpu", "seconds": 80.0}}
    provenance = {"processor": processor_name(), "device": "NVIDIA V100"}
    written(tmp_path, record(11.0, model=model, provenance=provenance))
    on_gpus = estimates([tmp_path], on_gpu=True)
    assert on_gpus.of(MOCO) == (8 * 20.0, "measured")
    assert on_gpus.of(fours) == (8 * 5.0, "measured")
