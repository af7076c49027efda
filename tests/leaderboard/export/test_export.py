"""Exports: a model card that huggingface_hub reads back, runs as the trackers' own calls take them."""

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from mmbench.errors import MissingExtraError, UserError
from mmbench.leaderboard.build import read_board, read_frame
from mmbench.leaderboard.command import leaderboard
from mmbench.leaderboard.export.hub import write_model_card
from mmbench.leaderboard.export.tracking import export_mlflow, export_wandb, records_of
from mmbench.results import Result

Make = Callable[..., Result]
Write = Callable[..., Path]


def test_a_model_card_holds_the_cells_of_its_row(record: Make, write: Write, tmp_path: Path) -> None:
    root = write(
        record("moco", seed=0, value=70.0),
        record("moco", seed=1, value=72.0),
        record("moco", "segmentation/patterns@1", value=33.0),
        record("mscn", value=60.0),
    )
    board = read_board(root, published=False)
    card = ModelCard.load(write_model_card(board, "moco", tmp_path / "card"))
    name, results = model_index_to_eval_results(card.data.to_dict()["model-index"])
    assert name == "moco" and card.data.library_name == "timm"
    found = {(result.task_type, result.metric_type, result.dataset_config): result for result in results}
    top1 = found["image-classification", "accuracy", "linear/patterns@1"]
    assert top1.metric_value == 71.0 and top1.dataset_revision == "ab" * 32
    assert top1.metric_args["runs"] == 2 and top1.metric_args["pretrainings"] == 2
    assert found["image-segmentation", "mean_iou", "segmentation/patterns@1"].metric_value == 33.0
    assert len(results) == 2 and "71.00 ± 1.41 | n=2" in card.text
    with pytest.raises(UserError, match="did you mean 'moco'"):
        write_model_card(board, "mocco", tmp_path / "other")
    with pytest.raises(UserError, match="never replaced"):
        write_model_card(board, "mscn", tmp_path / "card")


@pytest.mark.parametrize("name", ["a: b", "- x", "# x | y", "[a](b)", "é \U0001f600 \u4e2d", "{x: 1}", "---"])
def test_any_name_survives_the_front_matter(record: Make, write: Write, tmp_path: Path, name: str) -> None:
    board = read_board(write(record("moco", card_changes={"arm": name})), published=False)
    card = ModelCard.load(write_model_card(board, name, tmp_path / "card"))
    assert card.data.model_name == name


def recording(monkeypatch: pytest.MonkeyPatch, name: str, **attributes: Any) -> None:
    """Put a stand-in for a library, whose calls have the signatures of wandb 0.31 and MLflow 3.17."""
    module = types.ModuleType(name)
    vars(module).update(attributes)
    monkeypatch.setitem(sys.modules, name, module)


def test_records_become_offline_runs_of_wandb(
    record: Make, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []

    class Run:
        def __init__(self) -> None:
            self.summary: dict[str, float] = {}

        def finish(self, exit_code: int | None = None) -> None:
            calls[-1]["summary"] = dict(self.summary)

    def init(**given: Any) -> Run:
        known = {"project", "dir", "name", "group", "job_type", "config", "mode", "settings"}
        assert set(given) <= known
        calls.append(given)
        return Run()

    recording(monkeypatch, "wandb", init=init, Settings=lambda silent: None)
    root = write(record("moco", value=70.0), record("random", value=50.0))
    assert export_wandb(read_frame(root), tmp_path / "runs", "mine") == 2
    assert [call["group"] for call in calls] == ["moco", "random"]
    assert calls[0]["summary"] == {"top1": 70.0, "top5": 65.0} and calls[0]["mode"] == "offline"
    config = calls[0]["config"]
    assert config["pretrain_epochs"] == 8 and config["settings"]["weight_decays"] == [0.1]
    (tmp_path / "runs" / "x").write_text("")
    with pytest.raises(UserError, match="is not empty"):
        export_wandb(read_frame(root), tmp_path / "runs", "mine")


def test_records_become_runs_of_mlflow(
    record: Make, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[dict[str, Any]] = []

    class Client:
        def __init__(self, tracking_uri: str | None = None) -> None:
            assert tracking_uri == (tmp_path / "runs").as_uri()

        def create_experiment(self, name: str) -> str:
            return "1"

        def create_run(
            self, experiment_id: str, start_time: int, tags: dict[str, Any], run_name: str
        ) -> types.SimpleNamespace:
            runs.append({"name": run_name, "params": {}, "metrics": {}, "start": start_time})
            return types.SimpleNamespace(info=types.SimpleNamespace(run_id=len(runs) - 1))

        def log_batch(self, run_id: int, metrics: Any = (), params: Any = ()) -> None:
            assert len(params) <= 100
            runs[run_id]["params"].update(dict(params))
            runs[run_id]["metrics"].update({entry[0]: entry[1] for entry in metrics})

        def set_terminated(self, run_id: int, status: str, end_time: int) -> None:
            runs[run_id]["seconds"] = (end_time - runs[run_id]["start"]) / 1000

    entities = types.ModuleType("mlflow.entities")
    vars(entities).update(Param=lambda key, value: (key, value), Metric=lambda *values: values)
    recording(monkeypatch, "mlflow", MlflowClient=Client)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    long = {"weight_decays": [0.1] * 3000, "odd $ name": 1, **{f"s{n}": n for n in range(120)}}
    frame = read_frame(write(record("moco", value=70.0, config=long)))
    assert export_mlflow(frame, tmp_path / "runs", "mine") == 1
    [run] = runs
    assert run["metrics"] == {"top1": 70.0, "top5": 65.0} and run["seconds"] == 12.5
    assert run["params"]["arm"] == "moco" and run["params"]["settings.s119"] == "119"
    assert (
        run["params"]["settings.odd _ name"] == "1" and len(run["params"]["settings.weight_decays"]) == 6000
    )
    [described] = records_of(frame)
    assert run["name"] == described.name and described.facts["transfer_seed"] == 0


@pytest.mark.parametrize("tool", ["wandb", "mlflow"])
def test_a_missing_library_is_named_with_its_installation(
    record: Make, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
) -> None:
    monkeypatch.setitem(sys.modules, tool, None)
    root = write(record("moco"))
    done = CliRunner().invoke(leaderboard, ["export", tool, str(root), "--out", str(tmp_path / "out")])
    assert isinstance(done.exception, MissingExtraError) and "pip install" in str(done.exception)
    assert not (tmp_path / "out").exists()
