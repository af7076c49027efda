"""`mmbench reproduce`: the same record again, and what is said where something is not the same."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from image_folders import write_images

from mmbench.checkpoints.backbone import random_backbone
from mmbench.checkpoints.card import Preprocessing
from mmbench.checkpoints.card_file import write_card
from mmbench.cli.commands import main
from mmbench.data import Dataset, ImageSplit
from mmbench.files import sha256_of
from mmbench.records.store import Metric, Result, ResultStore, read_result
from mmbench.tools.reproduction import MetricPair, changed_environment, image_in_its_class, task_of
from mmbench.transfer.evaluation import evaluate
from mmbench.transfer.resolution import resolve_task


def run(arguments: list[Any], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    return int(stop.value.code or 0), output.out, output.err


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images and a finished run folder; it is the current one."""
    from safetensors.torch import save_file

    write_images(tmp_path / "images")
    run_folder = tmp_path / "runs" / "moco"
    run_folder.mkdir(parents=True)
    backbone = random_backbone("mixmask_resnet8", 7, Preprocessing(image_size=32))
    save_file(backbone.state_dict, run_folder / "model.safetensors")
    card = backbone.card.model_copy(
        update={"arm": "moco", "method": "moco", "epochs": 1, "seed": 3, "source_format": "run"}
    )
    write_card(run_folder / "card.json", card, sha256_of(run_folder / "model.safetensors"))
    (run_folder / "settings.yaml").write_text("method: moco\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def record_of(place: Path, task: str = "knn", model: str = "runs/moco", **asked: Any) -> Path:
    evaluate(model, task, place / "images", out=place / "results", device="cpu", **asked)
    (path,) = (path for path in (place / "results").rglob("*.json") if not path.name.endswith(".config.json"))
    return path


def changed(path: Path, **fields: Any) -> None:
    """Write a record's file anew with other values, as a record of its own."""
    result = read_result(path)
    path.unlink()
    store = ResultStore(path.parents[2])
    shutil.move(store.write(result.model_copy(update=fields)), path)


@pytest.mark.parametrize(
    ("task", "model", "asked"),
    [
        ("knn", "runs/moco", {"overrides": {"neighbours": 3}}),
        ("linear", "random", {"arch": "mixmask_resnet8", "seeds": (2,), "arm": "random b"}),
        ("knn", "pixels", {"image_size": 16, "overrides": {"neighbours": 5}}),
        (
            "semisup",
            "runs/moco",
            {"overrides": {"fraction": 0.5, "epochs": 2}, "protocol": "semisup/10pct@1"},
        ),
    ],
)
def test_the_same_record_again(
    place: Path, capsys: pytest.CaptureFixture[str], task: str, model: str, asked: dict[str, Any]
) -> None:
    path = record_of(place, task, model, **asked)
    before = path.read_bytes()
    code, out, err = run(["reproduce", path, "--data", "images", "--out", "again", "--json"], capsys)
    assert code == 0, err
    found = json.loads(out)
    assert found["verdict"] == "equal" and found["environment"] == {} and found["differs"] == {}
    recorded, again = read_result(path), read_result(Path(found["record"]))
    assert {name: part["now"] for name, part in found["metrics"].items()} == {
        name: metric.value for name, metric in recorded.metrics.items()
    }
    assert Path(found["record"]).relative_to("again") == path.relative_to(place / "results")
    assert (again.model, again.config, again.seed) == (recorded.model, recorded.config, recorded.seed)
    assert path.read_bytes() == before


def test_another_value_and_another_machine_are_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record_of(place, overrides={"neighbours": 3})
    result = read_result(path)
    lower = result.metrics["top1"].value - 50 / 3  # three of the 18 images
    packages = {**result.provenance.packages, "torch": "1.0", "old": "2"}
    changed(
        path,
        metrics={**result.metrics, "top1": Metric(value=lower, higher_is_better=True, n=18)},
        provenance=result.provenance.model_copy(update={"packages": packages, "threads": 1}),
    )
    code, out, _ = run(["reproduce", path, "--data", "images"], capsys)
    assert code == 1
    assert "verdict: differs" in out and "+16.667" in out
    assert "environment: torch: 1.0 recorded" in out and "environment: old: 2 recorded, none now" in out
    assert not list(place.glob("again*"))


def test_wrong_weights_data_and_places_are_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record_of(place, overrides={"neighbours": 3})
    write_images(place / "other" / "images", seed=1)
    shutil.copytree(place / "runs" / "moco", place / "deeply" / "hidden" / "run")
    other = random_backbone("mixmask_resnet8", 8, Preprocessing(image_size=32))
    torch.save(other.state_dict, place / "other.pth")
    start = ["reproduce", path, "--data", "images"]
    for arguments, words in (
        ([*start, "--out", "results"], "is there already, and no record is written over"),
        ([*start, "--checkpoint", "other.pth"], "other.pth holds other weights than the record's"),
        (["reproduce", path, "--data", "other/images"], "is not the record's: its fingerprint is"),
        (["reproduce", place / "results"], "is a folder; name a record in it"),
        (["reproduce", path, "--data", "images", "--protocol", "x.yaml"], "omit --protocol"),
        (["reproduce", path, "--data", "images", "--labels-file", "x.txt"], "is not the list"),
        (["reproduce", place / "none.json"], "no result record at"),
    ):
        code, _, err = run(arguments, capsys)
        assert code == 2 and words in err and err.count("\n") == 1, err
    shutil.rmtree(place / "runs")
    code, _, err = run(start, capsys)
    assert (
        code == 2 and "no run folder here or beside the record" in err and "name them by --checkpoint" in err
    )
    code, out, err = run([*start, "--checkpoint", "deeply/hidden/run"], capsys)
    assert code == 0 and "verdict: equal" in out, err


def metric(value: float, n: int = 10_000, unit: Any = "percent") -> Metric:
    return Metric(value=value, higher_is_better=True, n=n, unit=unit)


@pytest.mark.parametrize(
    ("recorded", "again", "verdict"),
    [
        (metric(80.0), metric(80.0), "equal"),
        (metric(80.0), metric(80.0 + 1e-9), "within float noise"),
        (metric(80.0), metric(80.1), "within float noise"),  # 10 of 10,000 images
        (metric(80.0), metric(79.89), "differs"),
        (metric(50.0, 20), metric(55.0, 20), "within float noise"),  # one of 20 images
        (metric(50.0, 20), metric(60.0, 20), "differs"),
        (metric(2.0, unit="nats"), metric(2.001, unit="nats"), "within float noise"),
        (metric(2.0, unit="nats"), metric(2.01, unit="nats"), "differs"),
        (metric(2.0), metric(2.0, unit="nats"), "differs"),
        (metric(2.0), None, "differs"),
        (None, metric(2.0), "differs"),
    ],
)
def test_verdicts(recorded: Metric | None, again: Metric | None, verdict: str) -> None:
    assert MetricPair("m", recorded, again).verdict == verdict


@pytest.mark.parametrize(("images", "code"), [(1, 0), (0.5, 0), (1.1, 1), (2, 1)])
def test_one_image_of_a_small_class_is_noise_in_the_mean_over_classes(
    place: Path, capsys: pytest.CaptureFixture[str], images: float, code: int
) -> None:
    for index in range(2, 6):
        (place / "images" / "test" / "rows" / f"{index}.png").unlink()  # two are left, of 2 + 6 + 6
    path = record_of(place, overrides={"neighbours": 3})
    metrics = dict(read_result(path).metrics)
    old = metrics["mean_per_class"]
    value = old.value - images * 100 / 3 / 2
    metrics["mean_per_class"] = Metric(value=value, higher_is_better=True, n=old.n)
    changed(path, metrics=metrics)
    found, out, err = run(["reproduce", path, "--data", "images", "--json"], capsys)
    verdicts = {name: pair["verdict"] for name, pair in json.loads(out)["metrics"].items()}
    assert found == code, err
    assert verdicts == {"top1": "equal", "mean_per_class": "differs" if code else "within float noise"}


def test_the_smallest_class_that_has_images_decides() -> None:
    labels = torch.tensor([0] * 8 + [1] * 4 + [3] * 5)
    part = ImageSplit(torch.zeros(17, 3, 8, 8, dtype=torch.uint8), labels)
    dataset = Dataset("x", Path(), tuple("abcd"), {"test": lambda: part})
    assert image_in_its_class(dataset, "test") == pytest.approx(100 / 3 / 4)
    assert image_in_its_class(dataset, "val") is None


def test_environments(place: Path) -> None:
    found: Result = read_result(record_of(place, overrides={"neighbours": 3}))
    assert changed_environment(found.provenance, found.provenance) == {}
    other = found.provenance.model_copy(update={"processor": "X", "packages": {"torch": "1"}})
    assert changed_environment(other, found.provenance)["processor"] == ("X", found.provenance.processor)


@pytest.mark.parametrize(
    "stated",
    [
        {"SOLVER.LR_SCHEDULER_NAME": "WarmupCosineLR", "batch_size": 4},  # milestones follow the batch
        {"masks": False, "detector": "keypoint"},
    ],
)
def test_settings_that_followed_from_others_are_reproduced(stated: dict[str, Any]) -> None:
    """Nobody stated them, so those without an effect are no mistake of the user's."""
    settings = resolve_task("detection", "detection/own@1", stated).settings.effective(500)  # type: ignore[attr-defined]
    record: Any = SimpleNamespace(
        task="detection", protocol="detection/own@1+custom", config=settings.recorded()
    )
    assert task_of(record, None).settings.recorded() == settings.recorded()
