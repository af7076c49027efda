"""`mmbench suite run`, `status` and `report`: what they print, write and return; cells are stood in for."""

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from mmbench.cli.commands import main
from mmbench.processes import host_name
from mmbench.records.store import Result, ResultStore, read_result
from mmbench.tools.suite.execution.driver import Observer
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.planning.plan import Plan

GOLDEN = Path(__file__).parents[2] / "leaderboard" / "golden" / "linear-mscn-schema1.json"
SMALL = {
    "name": "small",
    "title": "A small board",
    "data": ["patterns"],
    "arch": "mixmask_resnet8",
    "arms": [
        {"name": "mscn", "pretrain": {"method": "mscn", "epochs": 2}},
        {"name": "moco", "pretrain": {"method": "moco", "epochs": 2}},
    ],
    "tasks": [{"task": "linear", "protocol": "linear/patterns@2"}],
    "baseline": "mscn",
}
FAILED = "moco-seed0"
FAILING = {FAILED}  # names of the cells that fail


def state(cell: str, name: str, **facts: object) -> CellState:
    now = time.time()
    usual = {
        "id": cell,
        "name": name,
        "host": host_name(),
        "pid": os.getpid(),
        "started": now,
        "changed": now,
    }
    return CellState.model_validate({**usual, **facts})


def record(arm: str, weights_seed: int, seed: int) -> Result:
    """Return a record with numbers of its own."""
    golden = read_result(GOLDEN)
    more = 0.1 * len(arm) + weights_seed + 0.01 * seed
    metrics = {
        name: metric.model_copy(update={"value": metric.value + more, "interval": None})
        for name, metric in golden.metrics.items()
    }
    weights = hashlib.sha256(b"").hexdigest()  # of what a stand-in of a pretraining leaves
    card = golden.model.model_copy(update={"arm": arm, "seed": weights_seed, "source_sha256": weights})
    return golden.model_copy(
        update={"model": card, "seed": seed, "metrics": metrics, "wall_seconds": golden.wall_seconds + more}
    )


def stand_in(plan: Plan, folder: SuiteFolder, *, observer: Observer, **options: object) -> None:
    """Leave what the cells would: folders, records, and failures."""
    store = ResultStore(folder.results)
    failed: set[str] = set()
    for cell in plan.cells:
        if cell.name in FAILING:
            failed.add(cell.id)
            ended = state(cell.id, cell.name, status="failed", error="the loss is not finite")
        elif failed.intersection(cell.after):
            failed.add(cell.id)
            continue
        else:
            left = folder.data
            if cell.work.kind == "pretrain":
                left = folder.runs / cell.work.folder
                left.mkdir(parents=True, exist_ok=True)
                for name in ("model.safetensors", "card.json"):
                    (left / name).touch()
            elif cell.work.kind == "transfer":
                left = store.write(record(cell.work.arm, cell.work.weights_seed, cell.work.seed))
            folder.data.mkdir(parents=True, exist_ok=True)
            path = str(left.relative_to(folder.root))
            ended = state(cell.id, cell.name, status="done", left=path, seconds=3.0)
        folder.write(ended)
        observer.update({cell.id: ended})


@pytest.fixture
def suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run `mmbench suite` beside the file small.yaml; return exit code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr("mmbench.tools.suite.run.run_cells", stand_in)
    Path("small.yaml").write_text(yaml.safe_dump(SMALL))

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["suite", *arguments])
        printed = capsys.readouterr()
        return int(stop.value.code or 0), printed.out, printed.err

    return run


def test_a_failed_cell_is_listed_the_board_is_built_and_the_exit_code_is_1(
    suite: Callable[..., tuple[int, str, str]],
) -> None:
    code, out, _ = suite("run", "small.yaml", "--workers", "1")
    assert code == 1
    folder = SuiteFolder(Path("small"))
    assert yaml.safe_load(folder.suite.read_text())["run"] == {"workers": 1}
    assert "small: 5 cells on 1 worker in small/" in out
    assert "FAILED moco-seed0: the loss is not finite (log: small/logs/" in out
    assert "blocked by moco-seed0: 1 (moco-seed0 linear/patterns@2 seed0)" in out
    assert "A small board" in out and (folder.board / "index.html").is_file()

    code, out, err = suite("status", "small")
    assert code == 0 and "3 of 5 cells done, not running" in out and "FAILED moco-seed0" in out
    assert err == ""  # nothing waits that a new run would take up by itself
    planned = json.loads(suite("plan", "small", "--json")[1])
    assert (planned["folder"], planned["cells"], planned["done"]) == ("small", 5, 3)
    found = json.loads(suite("status", "small.yaml", "--json")[1])
    assert found["suite"] == "small" and found["runners"] == 0 and found["folder"] == "small"
    assert found["counts"]["done"] == 3 and found["failed"][0]["error"] == "the loss is not finite"
    assert [cell["failed"] for cell in found["blocked"]] == [FAILED]


@pytest.mark.parametrize(
    ("failing", "done"),
    [((), 5), (("mscn-seed0 linear/patterns@2 seed0", FAILED), 2), (("data patterns",), 0)],
)
def test_the_exit_code_is_1_however_many_cells_failed_and_0_if_all_are_done(
    suite: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    failing: tuple[str, ...],
    done: int,
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "FAILING", set(failing))
    code, out, err = suite("run", "small.yaml")
    assert code == (done < 5)
    assert ("cells are done" in out) == (done < 5) and (f"{done} of 5 cells are done" in out or done == 5)
    measured = Path("small/results").exists()
    assert ("the board: none" in out) == (not measured) == (done < 3)
    following = "results list small/results" if done == 5 else "suite run small"
    assert err == f"next: mmbench {following}\n"


def test_report_says_what_is_missing_and_what_is_not_of_the_suite(
    suite: Callable[..., tuple[int, str, str]],
) -> None:
    suite("run", "small.yaml")
    store = ResultStore(Path("small/results"))
    strange = store.write(record("mscn", 0, 7))
    code, out, err = suite("report", "small")
    assert code == 0, err
    assert "not done: 2 (moco-seed0, moco-seed0 linear/patterns@2 seed0)" in out
    said = f"records that no cell of this suite left, shown too: 1 ({strange.relative_to('small')})\n"
    assert said in out
    assert err == "next: mmbench suite run small\n"
    assert said in suite("run", "small.yaml")[1]


def test_a_broken_record_is_refused_without_an_option_that_suites_do_not_have(
    suite: Callable[..., tuple[int, str, str]],
) -> None:
    suite("run", "small.yaml")
    ResultStore(Path("small/results")).write(record("mscn", 0, 7))
    broken = Path("small/results/broken.json")
    broken.write_text("{")
    code, _, err = suite("report", "small")
    assert code == 2 and f"{broken} is not a result record" in err
    assert "move it out of the results folder" in err and "--skip-invalid" not in err
    broken.unlink()
    code, _, err = suite("report", "small")
    assert code == 0, err


def test_a_folder_that_holds_another_suite_is_refused_and_a_grown_one_said(
    suite: Callable[..., tuple[int, str, str]],
) -> None:
    suite("run", "small.yaml")
    Path("small.yaml").write_text(yaml.safe_dump({**SMALL, "seeds": [0, 1]}))
    code, out, _ = suite("run", "small.yaml")
    assert code == 1 and "the suite has grown by 4 cells (seeds 1)" in out
    Path("small.yaml").write_text(yaml.safe_dump({**SMALL, "seeds": [0]}))
    code, out, err = suite("run", "small.yaml")
    assert (code, out) == (2, "")
    assert "small holds another suite: seeds 1 there and not here" in err and err.count("\n") == 1


def test_every_command_says_that_the_folder_holds_another_suite_than_the_file(
    suite: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "FAILING", set())
    suite("run", "small.yaml")
    assert "refuses" not in suite("plan", "small.yaml")[1]
    assert json.loads(suite("status", "small.yaml", "--json")[1])["differs"] == ""
    arms = SMALL["arms"][:1]  # type: ignore[index]
    Path("small.yaml").write_text(yaml.safe_dump({**SMALL, "arms": arms}))
    refusal = suite("run", "small.yaml")[2].partition("error: ")[2].strip()
    assert refusal.startswith("small holds another suite: arms moco there and not here")
    _, out, err = suite("plan", "small.yaml")
    assert f"`run` refuses to go on:\n  {refusal}\n" in out and err == ""  # no next step that would fail
    assert json.loads(suite("plan", "small.yaml", "--json")[1])["changed"] == [refusal]
    remark = "small holds another suite than small.yaml, and this is the one of the folder: arms moco there"
    for command in ("status", "report"):
        code, out, _ = suite(command, "small.yaml")
        assert code == 0 and remark in out
        assert "another suite" not in suite(command, "small")[1]
    assert json.loads(suite("status", "small.yaml", "--json")[1])["differs"].startswith(remark)


def test_weights_of_done_cells_may_be_gone(
    suite: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "FAILING", set())
    arms = [{"name": "own", "checkpoint": "own.pth", "arch": "mixmask_resnet8"}]
    Path("small.yaml").write_text(yaml.safe_dump({**SMALL, "arms": arms, "baseline": "own"}))
    assert "weights of own: own.pth is not there" in suite("run", "small.yaml")[2]
    Path("own.pth").touch()
    assert suite("run", "small.yaml")[0] == 0
    Path("own.pth").unlink()
    code, out, _ = suite("run", "small.yaml")
    assert code == 0 and "all 2 cells are done already" in out
    assert "nothing is missing" in suite("plan", "small.yaml")[1]
    assert "weights of own: own.pth is not there" in suite("run", "small.yaml", "--only", "all")[2]


def test_a_missing_baseline_is_said(
    suite: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("small.yaml").write_text(yaml.safe_dump({**SMALL, "baseline": "moco"}))
    out = suite("run", "small.yaml")[1]
    assert "nothing of the baseline moco is measured yet" in out and "index.html" in out


def test_a_baseline_of_several_rows_is_not_called_unmeasured(
    suite: Callable[..., tuple[int, str, str]],
) -> None:
    suite("run", "small.yaml")
    other = record("mscn", 1, 3)
    card = other.model.model_copy(update={"epochs": 77})
    ResultStore(Path("small/results")).write(other.model_copy(update={"model": card}))
    for command in (("run", "small.yaml"), ("report", "small")):
        out = suite(*command)[1]
        assert "the baseline mscn has several rows (mscn (77 epochs), mscn (" in out
        assert "so the board has no differences" in out and "measured yet" not in out


def test_watching_ends_with_the_run(suite: Callable[..., tuple[int, str, str]]) -> None:
    suite("run", "small.yaml")
    code, out, _ = suite("status", "small", "--watch")
    assert code == 0 and "3 of 5 cells done" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "smal.yaml"), "cannot be read"),
        (("run", "small.yaml", "--workers", "0"), "--workers"),
        (("run", "small.yaml", "--executor", "slrm"), "slurm"),
        (("run", "small.yaml", "--out", "small.yaml"), "--out"),
        (("status", "small.yaml"), "nothing of suite small was run in small"),
        (("report", "demoo"), "did you mean 'demo'"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    suite: Callable[..., tuple[int, str, str]], arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = suite(*arguments)
    assert code == 2 and out == "" and err.count("\n") == 1 and said in err
    assert [path.name for path in Path().iterdir()] == ["small.yaml"]
