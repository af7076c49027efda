"""Records as offline runs of Weights & Biases, as the library's own calls take them."""

import json
import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from mmbench.cli.commands import main
from mmbench.errors import MissingExtraError, UserError
from mmbench.leaderboard.build import read_frame
from mmbench.leaderboard.command import leaderboard
from mmbench.leaderboard.export.wandb_runs import export_wandb
from mmbench.records.store import Metric, Result

Make = Callable[..., Result]
Write = Callable[..., Path]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Put a stand-in for wandb 0.31 and yield the arguments and scores of its runs."""
    runs: list[dict[str, Any]] = []

    class Run:
        def __init__(self) -> None:
            self.summary: dict[str, float] = {}

        def finish(self, exit_code: int | None = None) -> None:
            runs[-1]["summary"] = dict(self.summary)
            folder = Path(runs[-1]["dir"]) / "wandb" / f"offline-run-{runs[-1]['id']}"
            folder.mkdir(parents=True)  # a second run of this id would end here
            (folder / "run.wandb").write_text(json.dumps(runs[-1]["config"]))

    def init(**given: Any) -> Run:
        known = {"project", "entity", "id", "dir", "name", "group", "job_type", "config", "mode", "settings"}
        assert set(given) <= known
        surroundings = {"id": os.environ.get("WANDB_RUN_ID", f"random{len(runs)}")}
        if "WANDB_SWEEP_ID" in os.environ:
            given = {**given, "project": "uncategorized"}
        runs.append({**surroundings, **given})
        return Run()

    module = types.ModuleType("wandb")
    vars(module).update(init=init, Settings=lambda silent: None)
    monkeypatch.setitem(sys.modules, "wandb", module)
    yield runs


def test_records_become_offline_runs(
    record: Make, write: Write, tmp_path: Path, calls: list[dict[str, Any]]
) -> None:
    loss = Metric(value=1.5, higher_is_better=False, n=2000, unit="nats", interval=(1.25, 1.75))
    top1 = Metric(value=50.0, higher_is_better=True, n=2000)
    root = write(record("moco", value=70.0), record("random", metrics={"top1": top1, "loss": loss}))
    assert export_wandb(read_frame(root), tmp_path / "runs", "mine").runs == 2
    assert [call["group"] for call in calls] == ["moco", "random"]
    assert calls[0]["summary"] == {"top1": 70.0, "top5": 65.0} and calls[0]["mode"] == "offline"
    config = calls[0]["config"]
    assert config["pretrain_epochs"] == 8 and config["settings"]["weight_decays"] == [0.1]
    assert config["created"] == "2026-07-01T12:00:00+00:00" and config["primary_metric"] == "top1"
    assert calls[1]["config"]["metrics"] == {
        "loss": {"unit": "nats", "direction": "lower is better", "n": 2000, "interval95": [1.25, 1.75]},
        "top1": {"unit": "percent", "direction": "higher is better", "n": 2000},
    }
    with pytest.raises(UserError, match="is not empty"):
        export_wandb(read_frame(root), tmp_path / "runs", "mine")


def test_runs_are_identified_by_their_records_alone(
    record: Make,
    write: Write,
    tmp_path: Path,
    calls: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = write(record("moco", value=70.0), record("random", value=50.0))
    monkeypatch.setenv("WANDB_RUN_ID", "job17")
    monkeypatch.setenv("WANDB_SWEEP_ID", "s1")
    export_wandb(read_frame(root), tmp_path / "first", "mine")
    export_wandb(read_frame(root), tmp_path / "second", "mine")
    assert {call["project"] for call in calls} == {"mine"}
    identities = [call["id"] for call in calls]
    assert identities[:2] == identities[2:] and len({*identities, "job17"}) == 3
    assert os.environ["WANDB_RUN_ID"] == "job17" and os.environ["WANDB_SWEEP_ID"] == "s1"
    del calls[:]
    next(root.rglob("moco*.json")).unlink()
    export_wandb(read_frame(write(record("moco", value=71.0))), tmp_path / "third", "mine")
    assert [call["id"] == old for call, old in zip(calls, identities, strict=False)] == [False, True]


def test_copies_of_a_record_are_runs_of_their_own(
    record: Make, write: Write, tmp_path: Path, calls: list[dict[str, Any]]
) -> None:
    root = write(record("moco"))
    path = next(root.rglob("*.json"))
    frame = read_frame(root)
    copy = frame.assign(file="copy/" + path.name)
    both = pd.concat([frame, copy], ignore_index=True)
    assert export_wandb(both, tmp_path / "runs", "mine").runs == 2
    assert len({call["id"] for call in calls}) == 2


def test_a_failure_leaves_no_half(
    record: Make,
    write: Write,
    tmp_path: Path,
    calls: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = write(record("moco"), record("random"))
    init = sys.modules["wandb"].init

    def failing(**given: Any) -> Any:
        if len(calls) == 1:
            raise KeyboardInterrupt
        return init(**given)

    monkeypatch.setattr(sys.modules["wandb"], "init", failing)
    with pytest.raises(KeyboardInterrupt):
        export_wandb(read_frame(root), tmp_path / "runs", "mine")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["results"]
    monkeypatch.setattr(sys.modules["wandb"], "init", init)
    assert export_wandb(read_frame(root), tmp_path / "runs", "mine").runs == 2


@pytest.mark.usefixtures("calls")
@pytest.mark.parametrize("project", ["", " ", "a:b", "a/b/c", "/x", "x/", "50%", "x" * 129, "a\nb", "e:/x"])
def test_a_project_that_the_library_refuses_is_refused_before_anything_is_written(
    record: Make, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str], project: str
) -> None:
    out = tmp_path / "runs"
    words = ["leaderboard", "export", "wandb", str(write(record("moco"))), "--out", str(out)]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--project", project])
    assert stop.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("mmbench: error: --project") and not out.exists()


def test_an_entity_is_passed_on(
    record: Make, write: Write, tmp_path: Path, calls: list[dict[str, Any]]
) -> None:
    export_wandb(read_frame(write(record("moco"))), tmp_path / "runs", "team/mmbench")
    assert (calls[0]["entity"], calls[0]["project"]) == ("team", "mmbench")


@pytest.mark.usefixtures("calls")
def test_what_was_left_out_or_counted_once_is_printed(record: Make, write: Write, tmp_path: Path) -> None:
    root = write(record("moco"), record("mscn"))
    words = ["export", "wandb", str(root), str(next(root.rglob("moco*.json")))]
    done = CliRunner().invoke(leaderboard, [*words, "--out", str(tmp_path / "once")])
    assert done.stdout == f"2 runs: {tmp_path / 'once'}\n"
    assert "note: 1 record of several folders counted once: " in done.stderr
    next(root.rglob("mscn*.json")).write_text("{")
    words = ["export", "wandb", str(root), "--skip-invalid", "--out", str(tmp_path / "left")]
    done = CliRunner().invoke(leaderboard, words)
    assert done.stdout == f"1 run: {tmp_path / 'left'}\n"
    assert "note: 1 file left out: " in done.stderr and "mscn-" in done.stderr


@pytest.mark.parametrize("tool", ["wandb", "mlflow"])
def test_a_missing_library_is_named_with_its_installation(
    record: Make, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    monkeypatch.setitem(sys.modules, tool, None)
    root = write(record("moco"))
    done = CliRunner().invoke(leaderboard, ["export", tool, str(root), "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, MissingExtraError) and "pip install" in str(done.exception)
    assert not (tmp_path / "out").exists()
