"""`mmbench suite plan`: its table and its JSON, what is done, and how light it is."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from mmbench.cli.commands import main
from mmbench.tools.suite.definition.suite_file import read_suite, suite_of
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.planning import wall_time
from mmbench.tools.suite.planning.overview import Overview, estimate_words, overview, workers_of
from mmbench.tools.suite.planning.plan import plan_of
from mmbench.tools.suite.planning.plan_table import print_plan


def finish(folder: SuiteFolder, name: str) -> None:
    """Write the state of a cell of the demo that is done, and what it left."""
    cell = next(cell for cell in plan_of(read_suite("demo")).cells if cell.name == name)
    left = f"runs/{name}" if cell.work.kind == "pretrain" else f"results/{cell.id}.json"
    if cell.work.kind == "pretrain":
        (folder.root / left).mkdir(parents=True)
        for file in ("model.safetensors", "card.json"):
            (folder.root / left / file).touch()
    else:
        folder.results.mkdir(parents=True, exist_ok=True)
        (folder.root / left).write_text("{}")
    folder.cells.mkdir(parents=True, exist_ok=True)
    state = CellState(
        id=cell.id, name=name, status="done", host="here", pid=1, started=0.0, changed=1.0, left=left
    )
    folder.write(state)


def test_the_json_holds_every_cell_and_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["suite", "plan", "paper-cifar100", "--json"])
    assert stop.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["format"] == 1 and found["suite"] == "paper-cifar100" and found["done"] == 0
    assert len(found["work"]) == found["cells"] == found["rough"] > 100
    known = {cell["id"] for cell in found["work"]}
    assert all(set(cell["after"]) <= known and cell["seconds"] > 0 for cell in found["work"])
    assert sum(entry["cells"] for entry in found["counts"]) == found["cells"]
    assert "data cifar100" in {entry["what"] for entry in found["missing"]}
    assert list(tmp_path.iterdir()) == []  # nothing was written


def test_what_is_done_is_said_and_not_estimated(tmp_path: Path) -> None:
    folder, suite = SuiteFolder(tmp_path), read_suite("demo")
    before = overview(suite, folder)
    for name in ("moco-seed0", "moco-seed0 knn/patterns@2 seed0"):
        finish(folder, name)
    after = overview(suite, folder)
    assert len(after.done) == 2 and after.seconds < before.seconds
    (tmp_path / "runs" / "moco-seed0" / "model.safetensors").unlink()
    assert len(overview(suite, folder).done) == 1


@pytest.mark.parametrize("terminal", [True, False])
def test_the_table_names_every_arm_and_column(tmp_path: Path, terminal: bool) -> None:
    finish(SuiteFolder(tmp_path), "moco-seed0")
    console = Console(file=io.StringIO(), width=200, force_terminal=terminal, color_system=None)
    print_plan(overview(read_suite("demo"), SuiteFolder(tmp_path)), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for words in ("random-high-pass", "pixels", "semisup/patterns-1pct@2", "1/2", "105 cells, 1 done"):
        assert words in text
    assert "left out: pixels on semisup, detection" in text and "nothing is missing" in text
    assert ("─" in text) == terminal


def test_a_terminal_that_is_too_narrow_for_the_table_shows_lines(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=40, force_terminal=True, color_system=None)
    print_plan(overview(read_suite("demo"), SuiteFolder(tmp_path)), console)
    assert "random-high-pass 2, pixels 1" in console.file.getvalue()  # type: ignore[attr-defined]


def test_workers_follow_the_run_section() -> None:
    def workers(run: str) -> int:
        text = "name: a\ndata: [patterns]\narms: [{checkpoint: pixels}]\ntasks: [knn]\n"
        return workers_of(suite_of(text + run, "a"))

    assert workers("run: {workers: 7}") == 7
    assert workers("run: {slurm: {nodes: 2, jobs: 3, workers_per_node: 4}}") == 24
    assert workers("run: {gpus_per_cell: 0, threads: 1024}") == 1


def test_the_estimate_says_in_how_many_processes_pretrainings_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wall_time, "cores", lambda: 2)

    def planned(run: str) -> Overview:
        text = "name: a\ndata: [patterns]\narms: [{pretrain: {method: moco, epochs: 8}}]\ntasks: [knn]\n"
        return overview(
            suite_of(f"{text}run: {{gpus_per_cell: 0, workers: 2, {run}}}", "a"), SuiteFolder(tmp_path)
        )

    def pretraining(found: Overview) -> float:
        return next(cell.seconds for cell in found.plan.cells if cell.work.kind == "pretrain")

    alone, two, many = (planned(f"pretraining: {{processes_per_node: {number}}}") for number in (1, 2, 16))
    assert pretraining(alone) == 8 * 10.5 and pretraining(two) == pretraining(many) == 8 * 10.5 / 2
    assert alone.seconds - two.seconds == pytest.approx(8 * 10.5 / 2)
    assert "left on 2 workers (a rough" in estimate_words(alone)
    assert "left on 2 workers, each pretraining in 2 processes (a rough" in estimate_words(two)
    assert "each pretraining in 16 processes, on the cores of 2 (a rough" in estimate_words(many)
    nodes = planned("executor: slurm, pretraining: {nodes: 4, processes_per_node: 8}")
    assert pretraining(nodes) == 8 * 10.5 / 32


@pytest.mark.parametrize(
    "arguments", [["suite", "--help"], *(["suite", "plan", name] for name in ("demo", "fashion-mnist"))]
)
def test_planning_imports_no_heavy_library(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from mmbench.cli.commands import root; "
        f"root.main({arguments!r}, standalone_mode=False); "
        "print('loaded:', *[n for n in ('torch', 'timm', 'parsl', 'pandas', 'scipy') if n in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "200"},
        timeout=120,
        check=True,
    )
    assert answer.stdout.splitlines()[-1] == "loaded:"
