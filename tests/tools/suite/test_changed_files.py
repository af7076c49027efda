"""Weights, and what describes them, are compared with what done cells read; pretrainings of the suite too."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from mmbench.errors import UserError
from mmbench.tools.suite.changed_files import changed_files
from mmbench.tools.suite.definition.suite import Suite
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.planning.cell import Cell, PretrainWork, TransferWork
from mmbench.tools.suite.planning.overview import overview
from mmbench.tools.suite.planning.plan import Plan, done_cells, found_states, plan_of
from mmbench.tools.suite.run import run_suite

OLD, NEW = b"old weights", b"new weights"
SEPARATORS = re.compile(r"; restore it, (?:or )?remove (.*) to train and measure it again")
Begun = tuple[Plan, SuiteFolder]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run_folder(root: Path, weights: str = "model.safetensors") -> Path:
    root.mkdir(parents=True)
    (root / weights).write_bytes(OLD)
    (root / "card.json").write_text('{"arm": "moco"}')
    return root


def finish(cell: Cell, folder: SuiteFolder, read: Path | None) -> None:
    """Write what a done cell leaves; `read` is the file of weights that it read."""
    left, fingerprint, card = "data", "data", ""
    if isinstance(cell.work, PretrainWork):
        left = f"runs/{cell.work.folder}"
        fingerprint = digest(folder.root / left / "model.safetensors")
    elif isinstance(cell.work, TransferWork):
        name = f"{cell.work.arm}-0123456789ab-{cell.id[:8]}-seed{cell.work.seed}.json"
        left = f"results/mine-01234567/knn-patterns@2/{name}"
        path = folder.root / left
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"model": {"source_sha256": None if read is None else digest(read)}}))
        described = () if read is None else (read.with_name("card.json"), read.with_name("config.json"))
        card = next((digest(one) for one in described if one.is_file()), "")
    now = time.time()
    common = {"host": "here", "pid": 1, "started": now, "changed": now}
    state = {"id": cell.id, "name": cell.name, "status": "done", "left": left, **common}
    folder.write(CellState.model_validate({**state, "fingerprint": fingerprint, "card": card}))


def begun(tmp_path: Path, arm: dict[str, object], read: Path | None, seeds: tuple[int, ...] = (0,)) -> Begun:
    """A suite of one arm measured by two tasks, all of it done."""
    suite = {
        "name": "s",
        "data": ["patterns"],
        "arch": "mixmask_resnet8",
        "arms": [arm],
        "seeds": seeds,
        "tasks": [{"task": "knn"}, {"task": "linear"}],
    }
    plan, folder = plan_of(Suite.model_validate(suite)), SuiteFolder(tmp_path / "s")
    (folder.root / "data").mkdir(parents=True)
    for cell in plan.cells:
        if isinstance(cell.work, PretrainWork):
            run_folder(folder.runs / cell.work.folder)
        weights = cell.work.weights if isinstance(cell.work, TransferWork) else None
        own = isinstance(weights, PretrainWork)
        finish(cell, folder, folder.runs / weights.folder / "model.safetensors" if own else read)
    assert len(done_cells(found_states(plan, folder))) == len(plan.cells)
    assert lines((plan, folder)) == ()
    return plan, folder


def lines(found: Begun) -> tuple[str, ...]:
    plan, folder = found
    return changed_files(plan.cells, found_states(plan, folder), folder)


@pytest.fixture
def pretrained(tmp_path: Path) -> Begun:
    return begun(tmp_path, {"name": "moco", "pretrain": {"method": "moco", "epochs": 1}}, None, (0, 1))


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "only.pth"])
def test_weights_of_a_folder_are_compared_whatever_their_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / name).write_bytes(OLD)
    found = begun(tmp_path, {"name": "hf", "checkpoint": f"local-dir:{folder}"}, folder / name)
    (folder / name).write_bytes(NEW)
    (line,) = lines(found)
    assert line.startswith(f"{folder / name} is not the file that hf knn/patterns@2 seed0 was measured on")
    (folder / name).write_bytes(OLD)
    assert lines(found) == ()


def test_weights_that_are_read_instead_of_the_measured_ones_are_found(tmp_path: Path) -> None:
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(OLD)
    found = begun(tmp_path, {"name": "hf", "checkpoint": f"local-dir:{folder}"}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").write_bytes(NEW)  # readers prefer it
    (line,) = lines(found)
    assert line.startswith(f"{folder / 'model.safetensors'} is not the file that hf")


@pytest.mark.parametrize(
    ("source", "described"), [("", "card.json"), ("local-dir:", "card.json"), ("local-dir:", "config.json")]
)
def test_a_card_that_was_edited_is_found(tmp_path: Path, source: str, described: str) -> None:
    folder = run_folder(tmp_path / "rf")
    (folder / "card.json").rename(folder / described)
    found = begun(tmp_path, {"name": "x", "checkpoint": f"{source}{folder}"}, folder / "model.safetensors")
    before = (folder / described).read_text()
    (folder / described).write_text('{"arm": "edited"}')
    (line,) = lines(found)
    assert line.startswith(f"{folder / described} is not the file that x knn/patterns@2 seed0 was measured ")
    (folder / described).write_text(before)
    assert lines(found) == ()


def test_a_card_beside_a_file_that_was_named_alone_is_not_of_it(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(OLD)
    (tmp_path / "config.json").write_text("{}")
    found = begun(tmp_path, {"name": "w", "checkpoint": str(tmp_path / "w.pth")}, tmp_path / "w.pth")
    (tmp_path / "config.json").write_text("of something else")
    assert lines(found) == ()


def test_cells_of_an_earlier_version_state_no_card(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "rf")
    plan, place = begun(tmp_path, {"name": "x", "checkpoint": str(folder)}, folder / "model.safetensors")
    for state in list(place.states()):
        values = json.loads(place.state_path(state.id).read_text())
        del values["card"]
        place.state_path(state.id).write_text(json.dumps(values))
    (folder / "card.json").write_text('{"arm": "edited"}')
    assert lines((plan, place)) == ()
    (folder / "model.safetensors").write_bytes(NEW)
    assert len(lines((plan, place))) == 1


def test_a_record_that_an_earlier_version_filed_under_the_arm_of_the_card_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An arm named like its run folder; the number counted for the row that the card names."""
    monkeypatch.chdir(tmp_path)
    weights = run_folder(Path("oldrun")) / "model.safetensors"
    plan, folder = begun(tmp_path, {"checkpoint": "oldrun"}, weights)
    record = next(folder.results.rglob("*.json"))
    values = json.loads(record.read_text())
    record.write_text(json.dumps({**values, "model": {**values["model"], "arm": "oldrun"}}))
    assert lines((plan, folder)) == ()
    record.write_text(json.dumps({**values, "model": {**values["model"], "arm": "moco"}}))
    (line,) = lines((plan, folder))
    assert (
        line
        == f"{record} is filed under moco, and the suite calls the arm oldrun; remove it to measure it again"
    )
    record.unlink()
    assert lines((plan, folder)) == ()
    assert len(done_cells(found_states(plan, folder))) == len(plan.cells) - 1


def replaced(weights: Path) -> None:
    weights.write_bytes(NEW)


def edited(weights: Path) -> None:
    weights.with_name("card.json").write_text('{"arm": "moco", "epochs": 3}')


def removed(weights: Path) -> None:
    shutil.rmtree(weights.parent)


def unfinished(weights: Path) -> None:
    weights.unlink()


@pytest.mark.parametrize("change", [replaced, edited, removed, unfinished])
def test_a_pretraining_that_is_not_the_measured_one_any_more_is_refused_and_the_advice_works(
    pretrained: Begun, change: Callable[[Path], None]
) -> None:
    plan, folder = pretrained
    run = folder.runs / "moco-seed1"
    change(run / "model.safetensors")
    (line,) = overview(plan.suite, folder).changed
    assert str(run) in line
    with pytest.raises(UserError, match=re.escape(line)):
        run_suite(plan.suite, folder, console=Console(file=io.StringIO()))
    advice = SEPARATORS.search(line)
    assert advice is not None
    for pattern in advice[1].split(" and "):
        for path in Path("/").glob(pattern.removeprefix("/")):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert lines(pretrained) == ()


def test_the_advice_removes_what_was_measured_on_one_pretraining_alone(pretrained: Begun) -> None:
    plan, folder = pretrained
    seeds = {"moco-seed0": "a" * 12, "moco-seed1": "b" * 12}  # digests of the cards, which state the seed
    for cell in plan.cells:
        if isinstance(cell.work, TransferWork) and isinstance(cell.work.weights, PretrainWork):
            state = folder.state(cell.id)
            assert state is not None
            left = state.left.replace("0123456789ab", seeds[cell.work.weights.folder])
            (folder.root / state.left).rename(folder.root / left)
            folder.write(state.model_copy(update={"left": left}))
    shutil.rmtree(folder.runs / "moco-seed1")
    (line,) = lines(pretrained)
    assert "moco-seed1 is not there any more as 2 done cells found it" in line
    advice = SEPARATORS.search(line)
    assert advice is not None and advice[1] == f"{folder.results}/*/*/moco-{'b' * 12}-*"
    left = [path for path in folder.results.rglob("*.json") if not path.match(advice[1])]
    assert len(left) == 2 and all("a" * 12 in path.name for path in left)


def test_weights_that_were_replaced_before_anything_was_measured_on_them_are_found(
    pretrained: Begun,
) -> None:
    """The weights of a pretraining that its state names; new cells would be measured on others."""
    _, folder = pretrained
    shutil.rmtree(folder.results)
    assert lines(pretrained) == ()
    (folder.runs / "moco-seed0" / "model.safetensors").write_bytes(NEW)
    (line,) = lines(pretrained)
    assert "model.safetensors is not the file that moco-seed0 left" in line
    shutil.rmtree(folder.runs / "moco-seed0")  # to train it again needs no more
    assert lines(pretrained) == ()
