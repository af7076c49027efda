"""The work of a cell: under which arm it records, and which finished runs it takes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from PIL import Image

from mmbench.data import load_dataset
from mmbench.errors import UserError
from mmbench.files import sha256_of
from mmbench.runs import RunFolder
from mmbench.tools.suite.definition.suite import RunSettings
from mmbench.tools.suite.execution.perform import perform
from mmbench.tools.suite.execution.work import Job, Place, Stop
from mmbench.tools.suite.planning.cell import Cell, PretrainWork, TransferWork, Work
from mmbench.transfer import measuring
from mmbench.transfer.request import TransferRequest


def images(root: Path, seed: int = 0) -> Path:
    draw = np.random.default_rng(seed)
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            (root / split / name).mkdir(parents=True, exist_ok=True)
            for number in range(4):
                pixels = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def job(root: Path, work: Work) -> Job:
    place = Place(root, root / "data", RunSettings.model_validate({"threads": 1}))
    cell = Cell(name="cell", work=work, seconds=1)
    return Job(cell, place, lambda done, total, words: None, lambda line: None, Stop())


@pytest.mark.parametrize(
    ("weights", "card", "arm", "asked"),
    [
        ("oldrun", "moco", "oldrun", "oldrun"),  # named like its folder, which says that it is another arm
        ("oldrun", "oldrun", "oldrun", None),
        ("oldrun", "moco", "moco", "moco"),
        ("pixels", None, "pixels", None),
        ("pixels", None, "pixels 8 px", "pixels 8 px"),
        ("plain", None, "plain", "plain"),
    ],
)
def test_an_arm_keeps_its_name(
    weights: str,
    card: str | None,
    arm: str,
    asked: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """None leaves the row to the card, which then has the same name."""
    monkeypatch.chdir(tmp_path)
    if card is not None:
        (tmp_path / weights).mkdir()
        (tmp_path / weights / "card.json").write_text(json.dumps({"arm": card}))
    data = str(images(tmp_path / "mine"))
    seen = []

    def measure(request: TransferRequest, **_: object) -> list[SimpleNamespace]:
        seen.append(request)
        return [SimpleNamespace(path=tmp_path / "r.json", result=SimpleNamespace(dataset=request.data))]

    monkeypatch.setattr(measuring, "measure", measure)
    protocol = "knn/patterns@2"
    work = TransferWork(
        arm=arm, weights=weights, weights_seed=0, data=data, task="knn", protocol=protocol, seed=0
    )
    left = perform(job(tmp_path, work))
    assert left.path == tmp_path / "r.json"
    assert left.card == ("" if card is None else sha256_of(tmp_path / weights / "card.json"))
    assert [(request.model, request.arm) for request in seen] == [(weights, asked)]


def test_a_finished_run_of_several_processes_is_compared_with_what_is_asked_for(tmp_path: Path) -> None:
    data = str(images(tmp_path / "mine"))
    settings = {"batch_size": 4, "framework.queue": 8, "optimiser.warmup_epochs": 0}
    alone = PretrainWork(
        arm="moco",
        seed=0,
        data=data,
        method="moco",
        arch="mixmask_resnet8",
        epochs=1,
        settings=settings,
    )
    run = RunFolder(tmp_path / "runs" / "moco-seed0")
    assert perform(job(tmp_path, alone)).fingerprint == sha256_of(run.weights)
    stated = yaml.safe_load(run.settings.read_text())
    stated["effective"]["processes"] = 2  # as if two had trained it
    run.settings.write_text(yaml.safe_dump(stated))
    work = alone.model_copy(update={"processes": 2})
    assert perform(job(tmp_path, work)).fingerprint == sha256_of(run.weights)
    with pytest.raises(UserError, match="was trained by 2 processes, and the suite asks for 4"):
        perform(job(tmp_path, work.model_copy(update={"processes": 4})))
    with pytest.raises(UserError, match="holds a run with other settings: epochs: 1 there, 4 now"):
        perform(job(tmp_path, work.model_copy(update={"epochs": 4})))
    before = load_dataset(data).fingerprint
    images(tmp_path / "mine", seed=1)
    assert load_dataset(data).fingerprint != before
    with pytest.raises(UserError, match=r"data set 'mine' is not the one that .* was begun with"):
        perform(job(tmp_path, work))
