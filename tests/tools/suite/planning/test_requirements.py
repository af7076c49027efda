"""What a suite needs of a machine: found, or missing with what fixes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from mmbench.data import DATASETS
from mmbench.data.dataset import GENERATORS
from mmbench.data.downloads import DOWNLOADS
from mmbench.data.manifest import require_manifest
from mmbench.data.names import OWN_FOLDER, known_names
from mmbench.data.needed_files import NEEDED
from mmbench.data.sets import fashion_mnist_places
from mmbench.errors import UserError
from mmbench.tools import doctor
from mmbench.tools.doctor_checks import Finding
from mmbench.tools.suite.definition.data_facts import DATA_GB, RENDERED, facts_of
from mmbench.tools.suite.definition.suite_file import read_suite, shipped_suites, suite_of
from mmbench.tools.suite.folder import SuiteFolder
from mmbench.tools.suite.planning import requirements as module
from mmbench.tools.suite.planning.plan import plan_of
from mmbench.tools.suite.planning.requirements import missing, require, requirements

BASE: dict[str, Any] = {
    "name": "small",
    "data": ["patterns"],
    "arch": "mixmask_resnet8",
    "arms": [{"name": "moco", "pretrain": {"method": "moco", "epochs": 2}}],
    "tasks": ["knn"],
}


def found(tmp_path: Path, workers: int = 1, **fields: Any) -> dict[str, Finding]:
    suite = suite_of(json.dumps({**BASE, **fields}), "small")
    findings = requirements(plan_of(suite), SuiteFolder(tmp_path / "out"), workers)
    return {finding.name: finding for finding in findings}


def test_names_of_data_sets_are_those_of_the_registries() -> None:
    assert known_names() == set(DATASETS.names())
    assert set(DATA_GB) == set(NEEDED) == known_names() - {OWN_FOLDER}
    assert set(RENDERED) == set(GENERATORS.names()) and set(DOWNLOADS) < set(NEEDED)


def test_what_data_sets_offer_is_known_without_opening_them() -> None:
    patterns, voc, coco = (facts_of(name) for name in ("patterns", "voc2007", "coco"))
    assert patterns.kinds == {"labels", "boxes", "label maps"}
    assert voc.kinds is not None and voc.multilabel and "boxes" in voc.kinds
    assert coco.kinds == {"boxes"}
    assert facts_of("cifar100").train_images == 45000 and facts_of("a/folder").kinds is None


def test_data_that_are_not_there_come_with_a_command(tmp_path: Path) -> None:
    findings = found(tmp_path, data=["patterns", "cifar100", "imagenet"], tasks=["knn"])
    assert findings["data patterns"].status == "ok"  # the run renders it
    root = tmp_path / "out" / "data"
    fix = findings["data cifar100"].fix
    assert fix == f"mmbench data prepare cifar100 --download --data-root {root}"
    assert f"into {root}/imagenet, then: mmbench data check imagenet" in str(findings["data imagenet"].fix)


def test_data_that_are_there_are_found_and_what_is_missing_of_them_is_named(tmp_path: Path) -> None:
    root = tmp_path / "data"
    asked = {"data": ["cifar100"], "data_root": str(root)}
    home = root / "cifar100" / "cifar-100-python"
    home.parent.mkdir(parents=True)
    assert found(tmp_path, **asked)["data cifar100"].detail == f"not found in {root}/cifar100"  # it is empty
    fetch = f"mmbench data prepare cifar100 --download --data-root {root}"
    (root / "cifar100" / "train").touch()  # in another layout
    finding = found(tmp_path, **asked)["data cifar100"]
    assert (finding.status, finding.fix) == ("problem", fetch)
    assert finding.detail.startswith("incomplete: cifar-100-python/train, cifar-100-python/test, ")
    home.mkdir()
    for name in ("train", "test"):
        (home / name).touch()
    finding = found(tmp_path, **asked)["data cifar100"]
    assert finding.detail == f"incomplete: cifar-100-python/meta is missing from {root}/cifar100"
    assert finding.fix == f"remove {home}, then: {fetch}"
    (home / "meta").touch()
    assert found(tmp_path, **asked)["data cifar100"].status == "ok"


def test_what_the_download_does_not_bring_is_put_there_by_hand(tmp_path: Path) -> None:
    home = tmp_path / "out" / "data" / "sun397"
    (home / "SUN397").mkdir(parents=True)
    (home / "SUN397" / "ClassName.txt").touch()
    finding = found(tmp_path, data=["sun397"])["data sun397"]
    assert finding.detail == f"incomplete: Training_01.txt, Testing_01.txt are missing from {home}"
    assert str(finding.fix).startswith("put SUN397/ of") and "--download" not in str(finding.fix)


def test_a_rendering_that_was_cut_off_is_made_again(tmp_path: Path) -> None:
    home = tmp_path / "out" / "data" / "patterns"
    (home / "train").mkdir(parents=True)
    finding = found(tmp_path)["data patterns"]
    assert finding.detail == f"incomplete: patterns.json is missing from {home}"
    assert finding.fix == f"mmbench data prepare patterns --force --data-root {home.parent}"


def test_files_of_fashion_mnist_may_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"data": ["fashion-mnist"], "tasks": ["knn"], "data_root": str(tmp_path / "data")}
    debian = tmp_path / "debian"
    monkeypatch.setattr(fashion_mnist_places, "DEBIAN", debian)
    findings = found(tmp_path, **asked)
    assert findings["data fashion-mnist"].status == "problem"
    assert "60.0 MB for data that are not there" in findings["disk space"].detail
    for folder in (debian, tmp_path / "data" / "FashionMNIST" / "raw"):
        folder.mkdir(parents=True)
        for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
            (folder / f"{name}-ubyte.gz").touch()
        findings = found(tmp_path, **asked)
        finding = findings["data fashion-mnist"]
        assert (finding.status, finding.detail) == ("ok", f"found in {folder}")
        assert "0 bytes for data that are not there" in findings["disk space"].detail


def test_coco_may_be_where_detectron2_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"data": ["coco"], "tasks": ["detection"], "data_root": str(tmp_path / "data")}
    assert found(tmp_path, **asked)["data coco"].detail == f"not found in {tmp_path}/data/coco"
    home = tmp_path / "detectron2" / "coco"
    for part in ("train", "val"):
        (home / "images" / f"{part}2017" / "1.jpg").mkdir(parents=True)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(home.parent))
    lacking = "annotations/instances_train2017.json, annotations/instances_val2017.json"
    finding = found(tmp_path, **asked)["data coco"]
    assert finding.detail == f"incomplete: {lacking} are missing from {home}"
    (home / "annotations").mkdir()
    for path in lacking.split(", "):
        (home / path).touch()
    assert found(tmp_path, **asked)["data coco"].detail == f"found in {home}"


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "there.pth").touch()
    arms = [
        {"name": "a", "checkpoint": str(tmp_path / "there.pth")},
        {"name": "b", "checkpoint": str(tmp_path / "gone.pth")},
        {"name": "c", "checkpoint": "timm:resnet50.a1_in1k"},
        {"checkpoint": "random"},
    ]
    findings = found(tmp_path, arms=arms)
    assert findings["weights of a"].status == "ok" and findings["weights of b"].status == "problem"
    assert "gone.pth is not there" in findings["weights of b"].detail
    assert not {"weights of c", "weights of random"} & findings.keys()


def test_libraries_of_the_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    findings = found(tmp_path, tasks=["knn", "detection", "segmentation"])
    for library in ("Detectron2", "pycocotools", "mmsegmentation", "mmcv", "mmengine", "Parsl"):
        assert findings[library].status == "problem" and "pip install" in str(findings[library].fix)
    assert "Detectron2" not in found(tmp_path, tasks=["knn"])


def test_gpus_are_missing_only_where_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "gpus", lambda: [])
    assert "GPU" not in found(tmp_path)  # the default runs on the CPU as well
    assert found(tmp_path, run={"gpus_per_cell": 1})["GPU"].status == "problem"
    assert "GPU" not in found(tmp_path, run={"gpus_per_cell": 0})
    monkeypatch.setattr(module, "gpus", lambda: ["GPU-1", "GPU-2"])
    assert found(tmp_path, run={"gpus_per_cell": 2})["GPU"].status == "ok"


def test_slurm_and_own_files_of_parsl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert found(tmp_path, run={"slurm": {}})["Slurm"].status == "problem"
    assert found(tmp_path, run={"executor": str(tmp_path / "own.py")})["executor"].status == "problem"
    (tmp_path / "own.py").touch()
    assert found(tmp_path, run={"executor": str(tmp_path / "own.py")})["executor"].status == "ok"


def test_disk_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(tmp_path)["disk space"].status == "ok"
    usage = shutil.disk_usage(tmp_path)._replace(free=10**6)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: usage)
    assert found(tmp_path)["disk space"].status == "problem"
    assert found(tmp_path, workers=10**6)["memory"].status == "problem"


def test_a_larger_plan_needs_more_disk(tmp_path: Path) -> None:
    def need(**fields: Any) -> float:
        plan = plan_of(suite_of(json.dumps({**BASE, **fields}), "small"))
        return sum(module.disk_bytes(plan.cells, tmp_path))

    large = [{"pretrain": {"method": "moco", "arch": "mixmask_resnet50", "epochs": 2}}]
    assert need(seeds=[0, 1]) > need() and need(arms=large) > 10 * need()
    # Two training states of 8 networks of 23.5 million float32, and the queue.
    queue = 2 * 4 * 1024 * 64
    assert need(arms=large) == pytest.approx(9 * 4 * 23.5e6 + queue + 500_000 + 0.05e9, rel=1e-3)


def test_a_run_is_refused_where_something_is_missing(tmp_path: Path) -> None:
    require(found(tmp_path).values())
    with pytest.raises(UserError, match=r"^data cifar10: not found .*--download.*\(1 more: data cifar100\)$"):
        require(found(tmp_path, data=["cifar10", "cifar100"]).values())


@pytest.mark.parametrize("name", shipped_suites())
def test_shipped_suites_are_planned_on_a_machine_without_data(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fashion_mnist_places, "DEBIAN", tmp_path / "debian")
    suite = read_suite(name)
    findings = requirements(plan_of(suite), SuiteFolder(Path(name)), 2)
    lacking = {finding.name for finding in missing(findings)}
    assert all(finding.fix for finding in missing(findings))
    for data in suite.data:
        assert (f"data {data}" in lacking) == (data not in RENDERED)


def test_doctor_checks_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "diagnose", lambda: [Finding("torch", "ok", "2")])
    Path("small.yaml").write_text(json.dumps({**BASE, "data": ["patterns", "cifar10"]}))
    command = doctor.doctor.main
    assert command(["--suite", "small.yaml", "--json"], standalone_mode=False) == 1
    for name in require_manifest("cifar10").files:
        path = Path("small/data/cifar10") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # found, but not a data set
    findings = {finding.name: finding for finding in doctor.suite_findings("small.yaml")}
    assert findings["data cifar10"].status == "problem" and findings["data patterns"].status == "ok"
    Path("small.yaml").write_text(json.dumps(BASE))
    assert command(["--suite", "small.yaml"], standalone_mode=False) == 0
    with pytest.raises(UserError, match="add --suite"):
        command(["--out", "x"], standalone_mode=False)
