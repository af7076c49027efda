"""Records as runs in a file store of MLflow, whose rules a stand-in for its client applies."""

import datetime
import json
import os
import posixpath
import re
import shlex
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from click.testing import CliRunner

from mmbench.cli.commands import main
from mmbench.errors import UserError
from mmbench.leaderboard.build import read_frame
from mmbench.leaderboard.command import leaderboard
from mmbench.leaderboard.export.mlflow_store import export_mlflow
from mmbench.leaderboard.export.records import records_of
from mmbench.records.store import Metric, Result

Make = Callable[..., Result]
Write = Callable[..., Path]


class Client:
    """MLflow 3.17's client of a file store: what it refuses, and which files hold where the store is."""

    runs: list[dict[str, Any]]
    experiments: dict[str, str]

    def __init__(self, tracking_uri: str) -> None:
        assert os.environ.get("MLFLOW_ALLOW_FILE_STORE") == "true"
        self.root, self.uri = Path(unquote(tracking_uri.removeprefix("file://"))), tracking_uri
        Client.runs, Client.experiments = [], {"Default": "0"}

    def get_experiment_by_name(self, name: str) -> types.SimpleNamespace | None:
        found = self.experiments.get(name)
        return None if found is None else types.SimpleNamespace(experiment_id=found)

    def create_experiment(self, name: str) -> str:
        assert name and len(name) <= 500 and name not in self.experiments
        (self.root / "1").mkdir()
        (self.root / "1" / "meta.yaml").write_text(f"artifact_location: {self.uri}/1\n")
        self.experiments[name] = "1"
        return "1"

    def create_run(
        self, experiment_id: str, start_time: int, tags: dict[str, Any], run_name: str
    ) -> types.SimpleNamespace:
        run = {
            "experiment": experiment_id,
            "name": run_name,
            "params": {},
            "metrics": {},
            "start": start_time,
        }
        self.runs.append(run)
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=len(self.runs) - 1))

    def log_batch(self, run_id: int, metrics: Any = (), params: Any = ()) -> None:
        assert len(params) <= 100 and len({name for name, _ in params}) == len(params)
        for name, *_ in [*metrics, *params]:
            assert re.match(r"^[/\w.\- :]*$", name) and len(name) <= 250 and len(os.fsencode(name)) <= 255
            plain = posixpath.normpath(name)
            assert plain == name and plain != "." and not plain.startswith(("..", "/"))
        assert all(time >= 0 for _, _, time, _ in metrics)
        assert not {name for name, _ in params} & self.runs[run_id]["params"].keys()
        self.runs[run_id]["params"].update(dict(params))
        self.runs[run_id]["metrics"].update({entry[0]: entry[1] for entry in metrics})

    def set_terminated(self, run_id: int, status: str, end_time: int) -> None:
        self.runs[run_id]["seconds"] = (end_time - self.runs[run_id]["start"]) / 1000


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    entities, module = types.ModuleType("mlflow.entities"), types.ModuleType("mlflow")
    vars(entities).update(Param=lambda key, value: (key, value), Metric=lambda *values: values)
    vars(module).update(MlflowClient=Client)
    monkeypatch.setitem(sys.modules, "mlflow", module)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)


def percent(value: float) -> Metric:
    return Metric(value=value, higher_is_better=True, n=2000)


def test_records_become_runs(record: Make, write: Write, tmp_path: Path) -> None:
    long = {"weight_decays": [0.1] * 3000, "odd $ name": 1, **{f"s{n}": n for n in range(120)}}
    frame = read_frame(write(record("moco", value=70.0, config=long)))
    done = export_mlflow(frame, tmp_path / "runs", "mine")
    [run] = Client.runs
    assert done.runs == 1
    assert run["metrics"] == {"top1": 70.0, "top5": 65.0} and run["seconds"] == 12.5
    assert run["params"]["arm"] == "moco" and run["params"]["settings.s119"] == "119"
    assert run["params"]["settings.odd _ name"] == "1"
    assert len(run["params"]["settings.weight_decays"]) == 6000
    renamed, cut = done.notes
    assert renamed.endswith(": settings.odd $ name as settings.odd _ name")
    assert cut.endswith(": settings.weight_decays") and "6000" in cut
    [described] = records_of(frame)
    assert run["name"] == described.name and described.facts["transfer_seed"] == 0


def test_runs_say_what_their_metrics_are(record: Make, write: Write, tmp_path: Path) -> None:
    loss = Metric(value=1.5, higher_is_better=False, n=150, unit="nats", interval=(1.25, 1.75))
    root = write(record("moco", metrics={"top1": percent(70.0), "loss (val)": loss}))
    export_mlflow(read_frame(root), tmp_path / "runs", "mine")
    found = Client.runs[0]["params"]
    assert found["primary_metric"] == "top1" and found["created"] == "2026-07-01T12:00:00+00:00"
    assert json.loads(found["metric.loss _val_"]) == {
        **{"unit": "nats", "direction": "lower is better", "n": 150, "interval95": [1.25, 1.75]}
    }
    assert json.loads(found["metric.top1"])["direction"] == "higher is better"


def test_metrics_and_settings_whose_names_become_equal_stay_apart(
    record: Make, write: Write, tmp_path: Path
) -> None:
    metrics = {"top1": percent(50.0), "AP@50": percent(10.0), "..a": percent(3.0)}
    settings = {"lr (head)": 1, "lr [head]": 2, "a//b": 3, "a": 4, "a/b": 5, "x" * 300: 6, "é" * 200: 7}
    root = write(
        record("moco", metrics=metrics, config=settings),
        record("mscn", metrics={"top1": percent(60.0), "AP_50": percent(20.0)}, config=settings),
    )
    done = export_mlflow(read_frame(root), tmp_path / "runs", "mine")
    assert Client.runs[0]["metrics"] == {"top1": 50.0, "AP_50_2": 10.0, "__a": 3.0}
    assert Client.runs[1]["metrics"] == {"top1": 60.0, "AP_50": 20.0}  # one name for one metric in all runs
    found = {name: value for name, value in Client.runs[0]["params"].items() if name.startswith("settings.")}
    assert sorted(found.values()) == ["1", "2", "3", "4", "5", "6", "7"]
    assert found["settings.lr _head_"] == "1" and found["settings.lr _head__2"] == "2"
    assert (
        "AP@50 as AP_50_2" in done.notes[0] and "settings.lr [head] as settings.lr _head__2" in done.notes[1]
    )


def test_a_record_from_before_1970_keeps_its_date(record: Make, write: Write, tmp_path: Path) -> None:
    root = write(record("moco", created=datetime.datetime(1969, 1, 2, tzinfo=datetime.UTC)))
    done = export_mlflow(read_frame(root), tmp_path / "runs", "mine")
    [run] = Client.runs
    assert run["start"] == 0 and run["params"]["created"] == "1969-01-02T00:00:00+00:00"
    assert done.notes[0].startswith("1 record dated before 1970")


def test_a_failure_leaves_no_half(
    record: Make, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = read_frame(write(record("moco"), record("mscn")))

    def failing(client: Client, run_id: int, status: str, end_time: int) -> None:
        if run_id:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Client, "set_terminated", failing)
        export_mlflow(frame, tmp_path / "runs", "mine")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["results"]
    assert export_mlflow(frame, tmp_path / "runs", "mine").runs == 2
    with pytest.raises(UserError, match="is not empty"):
        export_mlflow(frame, tmp_path / "runs", "mine")


def test_the_store_says_where_it_is(record: Make, write: Write, tmp_path: Path) -> None:
    out = tmp_path / "é runs"
    export_mlflow(read_frame(write(record("moco"))), out, "mine")
    assert (out / "1" / "meta.yaml").read_text() == f"artifact_location: {out.as_uri()}/1\n"


def test_the_experiment_that_each_store_has_is_used(record: Make, write: Write, tmp_path: Path) -> None:
    export_mlflow(read_frame(write(record("moco"))), tmp_path / "runs", "Default")
    assert Client.runs[0]["experiment"] == "0"


@pytest.mark.parametrize("project", ["", " ", "a\nb", "x" * 501])
def test_an_experiment_that_mlflow_refuses_is_refused_before_anything_is_written(
    record: Make, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str], project: str
) -> None:
    out = tmp_path / "runs"
    words = ["leaderboard", "export", "mlflow", str(write(record("moco"))), "--out", str(out)]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--project", project])
    assert stop.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("mmbench: error: --project") and not out.exists()


def test_the_next_step_allows_the_file_store_and_notes_are_printed(
    record: Make, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "false")
    out = tmp_path / "my runs"
    root = write(record("moco", metrics={"top1": percent(50.0), "AP@50": percent(10.0)}), record("mscn"))
    next(root.rglob("mscn*.json")).write_text("{")
    words = ["export", "mlflow", str(root), "--out", str(out), "--skip-invalid"]
    done = CliRunner().invoke(leaderboard, words)
    assert done.stdout == f"1 run: {out}\n"
    *notes, last = done.stderr.splitlines()
    assert any(note.startswith("note: 1 file left out: ") for note in notes)
    assert any(note.startswith("note: renamed") and "AP@50 as AP_50" in note for note in notes)
    ui = ["MLFLOW_ALLOW_FILE_STORE=true", "mlflow", "ui", "--backend-store-uri", str(out)]
    assert shlex.split(last) == ["next:", *ui]
    assert os.environ["MLFLOW_ALLOW_FILE_STORE"] == "false"  # ours was for the export alone
