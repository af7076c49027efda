"""A package that mmbench does not know of adds to it; it is installed by pip beside mmbench."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from mmbench.checkpoints.backbone import create_headless

HERE = Path(__file__).parent
ARCH = "mixmask_resnet8"
# Each command of a list in one process, since torch takes seconds to import.
DRIVER = """
import contextlib, io, json, sys
from mmbench.cli.main import main
answers = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as stop:
            code = stop.code
    answers.append({"code": code, "out": out.getvalue(), "err": err.getvalue()})
print("ANSWERS" + json.dumps(answers))
"""


def run(site: Path, where: Path, *commands: list[str]) -> list[dict[str, Any]]:
    paths = os.pathsep.join([str(site), str(HERE.parent)])
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(commands)],
        cwd=where,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )
    assert "ANSWERS" in done.stdout, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout.rpartition("ANSWERS")[2])
    return answers


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, as pip installs it."""
    root = tmp_path_factory.mktemp("outside")
    source = root / "source"
    subprocess.run(["cp", "-r", str(HERE / "outside"), str(source)], check=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--no-index", "--target", str(root / "site"), str(source)], check=True)
    return root / "site"


def test_a_task_a_masking_a_data_set_and_a_format_from_outside(site: Path, tmp_path: Path) -> None:
    state = create_headless("mixmask_resnet18_cifar").state_dict()
    stored = {f"trunk.{name}": tensor for name, tensor in state.items()}
    torch.save({"state_dict": {**stored, "classifier.weight": torch.zeros(2, 512)}}, tmp_path / "theirs.pth")
    measured = ["transfer", "--data", "stripes", "--arch", ARCH, "--threads", "1"]
    answers = run(
        site,
        tmp_path,
        ["transfer", "--help"],
        ["transfer", "--list", "--task", "retrieval"],
        ["pretrain", "--help"],
        [
            *("pretrain", "--method", "moco", "--masking", "halves", "--data", "stripes", "--arch", ARCH),
            *("--epochs", "1", "--set", "batch_size=16", "--out", "run", "--threads", "1", "--device", "cpu"),
        ],
        [*measured, "--task", "retrieval,knn", "--checkpoint", "run", "--set", "neighbours=5"],
        [*measured, "--task", "retrieval", "--checkpoint", "random", "--set", "nearest=3", "--out", "three"],
        [*measured, "--task", "retrieval", "--checkpoint", "random", "--labels-file", "x.txt"],
        ["leaderboard", "build", "results", "--out", "board"],
        ["inspect", "theirs.pth"],
        ["preview", "moco", "--set", "masking.name=halves", "--data", "stripes", "--out", "views.png"],
    )
    assert [answer["code"] for answer in answers] == [0, 0, 0, 0, 0, 0, 2, 0, 0, 0], [
        a["err"] for a in answers
    ]
    helped, listed, pretraining, _, _, _, refused, _, inspected, _ = answers
    assert "retrieval" in helped["out"] and "retrieval/nearest@1*" in listed["out"]
    assert "halves" in pretraining["out"]
    assert "retrieval cannot use --labels-file" in refused["err"]
    assert "outside" in inspected["out"]
    assert (tmp_path / "views.png").stat().st_size > 1000 and (tmp_path / "run").is_dir()
    records = [json.loads(path.read_text()) for path in tmp_path.rglob("retrieval-*/*.json")]
    assert sorted(record["config"]["nearest"] for record in records) == [1, 3]
    assert {record["task"] for record in records} == {"retrieval"}
    board = next((tmp_path / "board").glob("*.md")).read_text()
    assert board.index("kNN") < board.index("Retrieval")  # by their order
    assert all(0 <= record["metrics"]["recall"]["value"] <= 100 for record in records)


def test_a_plugin_that_cannot_be_loaded_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken_plugin.py").write_text("raise RuntimeError('no such thing\\nas this')\n")
    facts = tmp_path / "broken_plugin-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1\n")
    (facts / "entry_points.txt").write_text("[mmbench.plugins]\nbroken = broken_plugin\n")
    (answer,) = run(tmp_path, tmp_path, ["transfer", "--list", "--task", "knn"])
    assert answer["code"] == 0 and "knn/patterns@2*" in answer["out"]
    assert answer["err"].count("\n") == 1
    assert "the plugin 'broken' of broken-plugin cannot be loaded and is left out" in answer["err"]
