"""Records as runs of Weights & Biases and of MLflow: written to a folder, sent nowhere."""

from __future__ import annotations

import datetime
import importlib
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mmbench.errors import MissingExtraError, UserError

LONGEST_PARAMETER = 6000  # characters; mlflow.utils.validation.MAX_PARAM_VAL_LENGTH
MOST_PARAMETERS = 100  # per call; mlflow.utils.validation.MAX_PARAMS_TAGS_PER_BATCH
FORBIDDEN = re.compile(r"[^\w\-./: ]")  # in names; mlflow.utils.validation._VALID_PARAM_AND_METRIC_NAMES
FACTS = (
    *("row", "arm", "task", "dataset", "fingerprint", "split", "protocol", "transfer_seed"),
    *("pretraining_seed", "weights", "arch", "framework", "method", "masking", "pretrain_data"),
    *("pretrain_epochs", "git_sha", "mmbench", "device", "wall_seconds"),
)


@dataclass(frozen=True)
class Record:
    """One record as trackers take it.

    Attributes:
        name: path of the record.
        facts: what is known about weights and run; known ones only.
        config: the settings.
        metrics: by name.
    """

    name: str
    facts: dict[str, Any]
    config: dict[str, Any]
    metrics: dict[str, float]
    created: datetime.datetime


def records_of(frame: pd.DataFrame) -> Iterator[Record]:
    """Yield the records of a tidy frame in the order of their paths."""
    for name, rows in frame.groupby("file", sort=True):
        first = rows.iloc[0]
        facts = {fact: first[fact] for fact in FACTS if not pd.isna(first[fact])}
        yield Record(
            name=str(name),
            facts={
                fact: getattr(value, "item", lambda value=value: value)() for fact, value in facts.items()
            },
            config=json.loads(first["config"]),
            metrics=dict(zip(rows["metric"], map(float, rows["value"]), strict=True)),
            created=datetime.datetime.fromisoformat(first["created"]),
        )


def export_wandb(frame: pd.DataFrame, out: Path, project: str) -> int:
    """Write each record as an offline run of Weights & Biases into `out`, and return their number.

    `wandb sync` sends them. Offline runs need no account and no network.

    Raises:
        MissingExtraError: wandb is not installed.
        UserError: `out` holds something.
    """
    wandb = _library("wandb", "wandb")
    _require_empty(out)
    out.mkdir(parents=True, exist_ok=True)
    number = 0
    for record in records_of(frame):
        run = wandb.init(
            project=project,
            dir=str(out),
            name=record.name,
            group=record.facts["row"],
            job_type=record.facts["task"],
            config={**record.facts, "record": record.name, "settings": record.config},
            mode="offline",
            settings=wandb.Settings(silent=True),
        )
        run.summary.update(record.metrics)
        run.finish()
        number += 1
    return number


def export_mlflow(frame: pd.DataFrame, out: Path, project: str) -> int:
    """Write each record as a run of an MLflow experiment into the file store `out`; return their number.

    `mlflow ui --backend-store-uri OUT` shows them.

    Raises:
        MissingExtraError: mlflow is not installed.
        UserError: `out` holds something.
    """
    # MLflow's file store is in maintenance; this variable is how MLflow itself lets it be used on purpose.
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow, entities = _library("mlflow", "mlflow-skinny"), "mlflow.entities"
    _require_empty(out)
    out.mkdir(parents=True, exist_ok=True)
    client = mlflow.MlflowClient(tracking_uri=out.resolve().as_uri())
    kinds = importlib.import_module(entities)
    experiment = client.create_experiment(project)
    number = 0
    for record in records_of(frame):
        start = int(record.created.timestamp() * 1000)
        end = start + int(1000 * record.facts["wall_seconds"])
        settings = {f"settings.{name}": value for name, value in record.config.items()}
        parameters = [
            kinds.Param(FORBIDDEN.sub("_", name), str(value)[:LONGEST_PARAMETER])
            for name, value in (record.facts | settings).items()
        ]
        metrics = [
            kinds.Metric(FORBIDDEN.sub("_", name), value, start, 0) for name, value in record.metrics.items()
        ]
        run = client.create_run(
            experiment, start_time=start, run_name=record.name, tags={"mmbench.record": record.name}
        )
        for place in range(0, len(parameters), MOST_PARAMETERS):
            client.log_batch(run.info.run_id, params=parameters[place : place + MOST_PARAMETERS])
        client.log_batch(run.info.run_id, metrics=metrics)
        client.set_terminated(run.info.run_id, "FINISHED", end)
        number += 1
    return number


EXPORTS: dict[str, Callable[[pd.DataFrame, Path, str], int]] = {
    "wandb": export_wandb,
    "mlflow": export_mlflow,
}


def _library(name: str, package: str) -> Any:
    """Import an optional library.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        needed = f"mmbench leaderboard export {name}"
        raise MissingExtraError(name, needed, f"pip install {package}") from None


def _require_empty(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out} is not empty; choose a new folder, so that no record is there twice")
