"""Records as runs of an MLflow experiment: written to a folder, sent nowhere."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mmbench.errors import UserError, typed
from mmbench.file_names import counted
from mmbench.leaderboard.export.names import accepted_names, renamed_words, why_unusable
from mmbench.leaderboard.export.records import (
    Exported,
    Record,
    library,
    records_of,
    require_empty,
    variables,
)
from mmbench.leftovers import replacing_folder

# MLflow's file store is in maintenance; this variable is how MLflow itself lets it be used on purpose.
ALLOW = "MLFLOW_ALLOW_FILE_STORE"
LONGEST_PARAMETER = 6000  # characters; mlflow.utils.validation.MAX_PARAM_VAL_LENGTH
LONGEST_PROJECT = 500  # characters; mlflow.utils.validation.MAX_EXPERIMENT_NAME_LENGTH
MOST_AT_ONCE = 100  # per call; mlflow.utils.validation.MAX_PARAMS_TAGS_PER_BATCH
LAST_MILLISECOND = 253402300799999  # of the year 9999, the last that Python's dates have


def export_mlflow(frame: pd.DataFrame, out: Path, project: str) -> Exported:
    """Write each record as a run of an MLflow experiment into the file store `out`.

    `MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri OUT` shows them.

    Args:
        frame: the records.
        out: folder, new or empty; it holds all runs or, after a failure, none.
        project: name of the experiment.

    Raises:
        MissingExtraError: mlflow is not installed.
        UserError: the experiment has a name that MLflow refuses, or `out` holds something.
    """
    _require_name(project)
    with variables("MLFLOW_", ours={ALLOW: "true"}):
        mlflow = library("mlflow", "mlflow-skinny")
        require_empty(out)
        records = list(records_of(frame))
        with replacing_folder(out) as folder:
            store = _Store(mlflow, folder, project, records)
            for record in records:
                store.write(record)
            _move(folder, out)
    return Exported(len(records), store.notes())


class _Store:
    """A file store of MLflow with one experiment.

    A metric or setting has the same name in all its runs, whichever others a run has.
    """

    def __init__(self, mlflow: Any, folder: Path, project: str, records: Sequence[Record]) -> None:
        self._kinds = importlib.import_module("mlflow.entities")
        self._client = mlflow.MlflowClient(tracking_uri=folder.resolve().as_uri())
        there = self._client.get_experiment_by_name(project)  # each store has one called "Default"
        self._experiment = self._client.create_experiment(project) if there is None else there.experiment_id
        self._metrics = accepted_names(name for record in records for name in record.metrics)
        parameters = {name for record in records for name in self._parameters(record)}
        self._names = accepted_names(parameters)
        self._cut: set[str] = set()
        self._early = 0

    def write(self, record: Record) -> None:
        """Write one run."""
        start = max(0, int(record.created.timestamp() * 1000))
        self._early += record.created.timestamp() < 0
        end = min(start + int(1000 * record.facts["wall_seconds"]), LAST_MILLISECOND)
        parameters = []
        for name, value in self._parameters(record).items():
            text = str(value)
            if len(text) > LONGEST_PARAMETER:
                self._cut.add(name)
            parameters.append(self._kinds.Param(self._names[name], text[:LONGEST_PARAMETER]))
        metrics = [
            self._kinds.Metric(self._metrics[name], value, start, 0) for name, value in record.metrics.items()
        ]
        run = self._client.create_run(
            self._experiment, start_time=start, run_name=record.name, tags={"mmbench.record": record.name}
        )
        for place in range(0, len(parameters), MOST_AT_ONCE):
            self._client.log_batch(run.info.run_id, params=parameters[place : place + MOST_AT_ONCE])
        for place in range(0, len(metrics), MOST_AT_ONCE):
            self._client.log_batch(run.info.run_id, metrics=metrics[place : place + MOST_AT_ONCE])
        self._client.set_terminated(run.info.run_id, "FINISHED", end)

    def notes(self) -> tuple[str, ...]:
        """Return what the store holds otherwise than the records."""
        found = [renamed_words(self._metrics), renamed_words(self._names)]
        if self._early:
            records = counted(self._early, "record")
            found.append(
                f"{records} dated before 1970, where MLflow begins: the parameter created has the date"
            )
        if self._cut:
            names = "; ".join(sorted(self._cut))
            found.append(f"cut after {LONGEST_PARAMETER} characters, which is MLflow's limit: {names}")
        return tuple(note for note in found if note)

    def _parameters(self, record: Record) -> dict[str, Any]:
        """Return facts, settings and what is known about the metrics, with names that differ."""
        settings = {f"settings.{name}": value for name, value in record.config.items()}
        about = {f"metric.{self._metrics[name]}": json.dumps(facts) for name, facts in record.about.items()}
        return record.facts | settings | about


def _require_name(project: str) -> None:
    """Refuse a name that MLflow gives no experiment.

    Raises:
        UserError: it does not.
    """
    if reason := why_unusable(project, LONGEST_PROJECT):
        raise UserError(
            f"--project {typed(project) or repr(project)} is not a valid experiment of MLflow: the name "
            f"{reason}; choose another"
        )


def _move(folder: Path, out: Path) -> None:
    """Write the place where the store will be instead of where it is, in the files that hold it."""
    before, after = (f"{place.resolve().as_uri()}/" for place in (folder, out))
    for path in folder.rglob("meta.yaml"):
        path.write_text(path.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
