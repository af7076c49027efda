"""A suite is not continued with other data, weights or protocol files than its done cells were."""

import hashlib
import io
import json
import multiprocessing
import re
import time
from pathlib import Path

import numpy as np
import pytest
from forked import SERVER
from PIL import Image
from rich.console import Console

from mmbench.data import load_dataset
from mmbench.errors import UserError
from mmbench.tools.suite.changed_files import changed_files
from mmbench.tools.suite.definition.suite import Suite
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.planning.cell import TransferWork
from mmbench.tools.suite.planning.overview import as_json, overview
from mmbench.tools.suite.planning.plan import Plan, done_cells, found_states, plan_of
from mmbench.tools.suite.planning.plan_table import print_plan
from mmbench.tools.suite.run import run_suite
from mmbench.tools.suite.unchanged import Measured, changed, require_same_data

OTHER = "0" * 16
PROTOCOL = """
id: knn/own@1
task: knn
title: own
metric: top1
selection: none
source: own
differs: nothing
settings: {neighbours: 20, temperature: 0.1}
"""


def images(root: Path) -> Path:
    draw = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            (root / split / name).mkdir(parents=True)
            for number in range(3):
                pixels = draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Plan, SuiteFolder]:
    """A suite whose cells are all done: kNN by an own file on a file of weights and on random weights."""
    data, weights, protocol = images(tmp_path / "mine"), tmp_path / "weights.pth", tmp_path / "own.yaml"
    weights.write_bytes(b"weights")
    protocol.write_text(PROTOCOL)
    plan = plan_of(
        Suite.model_validate(
            {
                "name": "s",
                "data": [str(data)],
                "arch": "mixmask_resnet8",
                "arms": [
                    {"name": "file", "checkpoint": str(weights)},
                    {"name": "random", "checkpoint": "random"},
                ],
                "tasks": [{"task": "knn", "protocol": str(protocol)}],
            }
        )
    )
    folder, fingerprint = SuiteFolder(tmp_path / "s"), load_dataset(str(data)).fingerprint
    for cell in plan.cells:
        left = str(data) if cell.work.kind == "data" else f"results/{cell.id}.json"
        if isinstance(cell.work, TransferWork):
            digest = hashlib.sha256(b"weights").hexdigest() if cell.work.arm == "file" else None
            (folder.root / left).parent.mkdir(parents=True, exist_ok=True)
            followed = hashlib.sha256(PROTOCOL.encode()).hexdigest()
            record = {"model": {"source_sha256": digest}, "config": {"protocol_file_sha256": followed}}
            (folder.root / left).write_text(json.dumps(record))
        now = time.time()
        folder.write(
            CellState(
                id=cell.id,
                name=cell.name,
                status="done",
                host="here",
                pid=1,
                started=now,
                changed=now,
                left=left,
                fingerprint=fingerprint,
            )
        )
    assert len(done_cells(found_states(plan, folder))) == len(plan.cells) == 3
    return plan, folder


@pytest.fixture
def forked_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process that reads the data be forked: a new interpreter takes ten seconds to import torch."""
    monkeypatch.setattr(multiprocessing, "get_context", lambda method: SERVER)


def check(plan: Plan, folder: SuiteFolder) -> None:
    states = found_states(plan, folder)
    require_same_data(plan.cells, states, folder, folder.data)
    assert changed_files(plan.cells, states, folder) == ()


def test_the_same_data_and_weights_go_on(finished: tuple[Plan, SuiteFolder]) -> None:
    check(*finished)


def changed_lines(plan: Plan, folder: SuiteFolder) -> tuple[str, ...]:
    return changed_files(plan.cells, found_states(plan, folder), folder)


def test_other_weights_at_the_same_place_are_found(
    finished: tuple[Plan, SuiteFolder], tmp_path: Path
) -> None:
    (tmp_path / "weights.pth").write_bytes(b"retrained")
    (line,) = changed_lines(*finished)
    assert re.search(r"weights.pth is not the file that file .* was measured on", line)


def test_a_protocol_file_that_changed_is_found_once(
    finished: tuple[Plan, SuiteFolder], tmp_path: Path
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(PROTOCOL.replace("neighbours: 20", "neighbours: 1"))
    (line,) = changed_lines(*finished)  # though two cells followed it
    assert re.search(r"own.yaml is not the file that file .* was measured by", line)
    own.write_text(PROTOCOL)
    assert changed_lines(*finished) == ()


def test_the_plan_says_what_changed_and_a_run_refuses_it(
    finished: tuple[Plan, SuiteFolder], tmp_path: Path
) -> None:
    (plan, folder), console = finished, Console(file=io.StringIO(), width=500)
    (tmp_path / "weights.pth").write_bytes(b"retrained")
    (tmp_path / "own.yaml").write_text(PROTOCOL.replace("neighbours: 20", "neighbours: 1"))
    found = overview(plan.suite, folder)
    assert len(found.done) == 3 and as_json(found)["changed"] == list(found.changed)
    print_plan(found, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "changed since cells were measured (2), so that `run` refuses to go on:" in said
    assert all(line in said for line in found.changed)
    with pytest.raises(UserError, match=r"weights.pth is not the file"):
        run_suite(plan.suite, folder, console=console)


@pytest.mark.usefixtures("forked_reader")
def test_data_that_changed_are_refused(finished: tuple[Plan, SuiteFolder], tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "mine" / "train" / "a" / "3.png")
    with pytest.raises(UserError, match=r"is not the one that .* was measured on"):
        check(*finished)


def test_data_that_are_gone_are_left_to_their_cell(
    finished: tuple[Plan, SuiteFolder], tmp_path: Path
) -> None:
    (tmp_path / "mine").rename(tmp_path / "elsewhere")
    check(*finished)


def test_each_part_of_a_data_set_has_its_own_fingerprint(tmp_path: Path) -> None:
    from mmbench.data.patterns import PatternsConfig, prepare

    small = PatternsConfig(train=40, val=20, test=20, scenes_train=2, scenes_val=2, scenes_test=2)
    prepare(tmp_path / "patterns", small)
    dataset = load_dataset("patterns", tmp_path)
    same = (
        Measured("patterns", "labels", dataset.fingerprint),
        Measured("patterns", "boxes", dataset.require_annotated().fingerprint()),
        Measured("patterns", "label maps", dataset.require_label_maps().fingerprint()),
    )
    assert changed(same, tmp_path) == []
    other = tuple(one._replace(fingerprint=OTHER) for one in same)
    assert changed((*same, *other), tmp_path) == list(other)
