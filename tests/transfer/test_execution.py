"""The frame of every task: records are written once, whole, and come back as they were."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from running import make_run, run_task

from mmbench.checkpoints.backbone import Backbone
from mmbench.data import Dataset, Scenes
from mmbench.data.annotated.types import AnnotatedData
from mmbench.errors import MissingExtraError, UserError
from mmbench.records.store import Result, ResultStore, read_result
from mmbench.tasks import TASKS
from mmbench.transfer.controls import pixels_backbone

Run = Callable[..., Result]


@pytest.fixture
def run(backbone: Backbone, gratings: Dataset, tmp_path: Path) -> Run:
    def run(task: str = "knn", **arguments: Any) -> Result:
        values = {"backbone": backbone, "dataset": gratings, "store": ResultStore(tmp_path / "results")}
        return run_task(task, **{**values, "work": tmp_path / "work", **arguments})

    return run


def test_all_tasks_are_there() -> None:
    frozen = ["knn", "linear", "logreg", "lowshot"]
    assert TASKS.names() == ["dense", "detection", "finetune", *frozen, "segmentation", "semisup"]


def test_a_record_comes_back_as_it_was_written(
    run: Run, backbone: Backbone, gratings: Dataset, tmp_path: Path
) -> None:
    result = run(seed=3, receipt_id="abc")
    store = ResultStore(tmp_path / "results")
    path = make_run("knn", backbone, gratings, seed=3).path(store)
    assert read_result(path) == result
    assert [found for _, found in store.items()] == [result]
    assert result.model == backbone.card and result.seed == 3 and result.receipt_id == "abc"
    assert result.dataset.fingerprint == gratings.fingerprint
    assert result.config == {"neighbours": 20, "temperature": 0.1, "chunk": 512}
    assert result.provenance.device == "cpu" and "torch" in result.provenance.packages
    assert result.wall_seconds > 0
    assert result.images_per_second == pytest.approx(180 / result.wall_seconds)


def test_a_record_that_is_there_is_not_measured_again(run: Run) -> None:
    calls: list[str] = []
    first = run(report=lambda done, total, message: calls.append(message))
    assert calls
    calls.clear()
    assert run(report=lambda done, total, message: calls.append(message)) == first
    assert not calls


def test_another_seed_or_setting_is_another_record(run: Run, tmp_path: Path) -> None:
    run()
    run(seed=1)
    run(overrides={"neighbours": 5})
    run(protocol_id="knn/instdisc@1", overrides={"neighbours": 100})
    assert len(list((tmp_path / "results").rglob("*.json"))) == 4


def test_nothing_is_left_of_a_run_that_failed(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="k=200 neighbours"):
        run(protocol_id="knn/instdisc@1")
    assert not list((tmp_path / "results").rglob("*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "lineer"}, "unknown task 'lineer'; did you mean 'linear'"),
        ({"protocol_id": "knn/pattern@1"}, "unknown protocol 'knn/pattern@1'; did you mean 'knn/patterns@1'"),
        ({"protocol_id": "linear/moco@1"}, "protocol linear/moco@1 is for task 'linear', not for 'knn'"),
        (
            {"overrides": {"neighbors": 5}},
            "unknown setting of knn/patterns@2 'neighbors'; did you mean 'neighbours'",
        ),
        ({"overrides": {"neighbours": "many"}}, "setting 'neighbours' of knn/patterns@2"),
        ({"task": "detection"}, "data set 'gratings' has no boxes"),
        ({"task": "segmentation"}, "data set 'gratings' has no label maps"),
    ],
)
def test_bad_requests_are_one_line(run: Run, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        run(**arguments)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("task", ["semisup", "finetune"])
def test_pixels_cannot_be_finetuned(run: Run, task: str) -> None:
    with pytest.raises(UserError, match="raw pixels have none; use knn, linear, logreg or lowshot"):
        run(task, backbone=pixels_backbone(16))


def test_a_split_that_is_not_there_is_named(run: Run, gratings: Dataset) -> None:
    cut = replace(gratings, splits={"train": gratings.splits["train"]})
    with pytest.raises(UserError, match=r"has no test split \(it has: train\)"):
        run(dataset=cut)


@pytest.mark.parametrize(("task", "module"), [("detection", "detectron2"), ("segmentation", "mmseg")])
def test_a_missing_library_is_reported_with_the_command(
    run: Run, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, module: str
) -> None:
    find_spec = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> Any:
        return None if name.partition(".")[0] == module else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    (tmp_path / "scenes").mkdir()
    dataset = replace(
        gratings,
        scenes=Scenes(tmp_path / "scenes", gratings.classes),
        annotated=AnnotatedData("boxes", tmp_path, "none", ("a",), {}, stated_fingerprint=lambda: "0" * 64),
    )
    with pytest.raises(MissingExtraError, match=f"{task} needs .* which is not installed; run: pip install"):
        run(task, dataset=dataset)


@pytest.mark.parametrize("task", ["knn", "linear", "logreg", "lowshot", "semisup", "finetune"])
def test_the_metric_is_what_the_field_reports_on_the_data_set(run: Run, gratings: Dataset, task: str) -> None:
    overrides: dict[str, Any] = {
        "logreg": {"candidates": 2},
        "lowshot": {"shots": [2], "draws": 2},
        "semisup": {"epochs": 1, "fraction": 0.2},
        "finetune": {"epochs": 1},
    }
    result = run(task, dataset=replace(gratings, metric="mean_per_class"), overrides=overrides.get(task, {}))
    assert result.primary_metric == "mean_per_class"


def test_data_that_cannot_be_classified_are_refused(run: Run, gratings: Dataset) -> None:
    with pytest.raises(UserError, match=r"has one class \(unlabelled\), and classification needs two"):
        run("knn", dataset=replace(gratings, classes=("unlabelled",)))
    with pytest.raises(UserError, match="have several labels, which knn/patterns@2 cannot use"):
        run("knn", dataset=replace(gratings, multilabel=True, metric="mAP"))
    with pytest.raises(UserError, match="have one label each, and linear/voc07-svm@1 is for several"):
        run("linear", protocol_id="linear/voc07-svm@1")
    with pytest.raises(UserError, match="label 5 in the test split of 'gratings' is not one of its 5"):
        run("knn", dataset=replace(gratings, classes=gratings.classes[:5]))
    without = {name: load for name, load in gratings.splits.items() if name != "val"}
    with pytest.raises(UserError, match="'gratings' at gratings has no val split"):
        run("logreg", dataset=replace(gratings, splits=without))


def test_files_of_a_measurement_lie_beside_the_record(
    run: Run, backbone: Backbone, gratings: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = TASKS.get("knn")

    def measure(job: Any, settings: Any) -> Any:
        measured = entry.measure(job, settings)
        (job.work / "curve.png").write_bytes(b"curve")
        return replace(measured, files={"losses.png": job.work / "curve.png"})

    monkeypatch.setitem(TASKS._entries, "knn", replace(entry, measure=measure))
    run()
    path = make_run("knn", backbone, gratings).path(ResultStore(tmp_path / "results"))
    assert path.with_suffix(".losses.png").read_bytes() == b"curve"
    assert (tmp_path / "work" / "curve.png").exists(), "the work folder may be kept"
