"""Records as trackers take them, and what all trackers need of their library and their folder."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import importlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mmbench.errors import MissingExtraError, UserError
from mmbench.leaderboard.records.frame import lines_of

FACTS = (
    *("row", "arm", "task", "dataset", "fingerprint", "split", "protocol", "transfer_seed"),
    *("pretraining_seed", "weights", "arch", "framework", "method", "masking", "pretrain_data"),
    *("pretrain_epochs", "git_sha", "mmbench", "device", "wall_seconds", "created"),
)
OF_METRICS = (
    "metric",
    "value",
    "primary",
    "unit",
    "higher_is_better",
    "images",
    "interval_low",
    "interval_high",
)


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        runs: their number.
        notes: sentences about what the tracker holds otherwise than the records.
    """

    runs: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    """One record as trackers take it.

    Attributes:
        name: path of the record.
        digest: SHA-256 of the record's content.
        facts: what is known about weights and run, the primary metric included; known ones only.
        config: the settings.
        metrics: by name.
        about: of each metric: unit, direction, n (what it averages over) and, where one was computed, its 95%
            interval (low, high) over the evaluated images.
        created: when it was measured.
    """

    name: str
    digest: str
    facts: dict[str, Any]
    config: dict[str, Any]
    metrics: dict[str, float]
    about: dict[str, dict[str, Any]]
    created: datetime.datetime


def records_of(frame: pd.DataFrame) -> Iterator[Record]:
    """Yield the records of a tidy frame in the order of their paths."""
    for name, rows in frame.groupby("file", sort=True):
        [first, *_] = lines_of(rows, (*FACTS, "config", "path"))
        metrics = lines_of(rows, OF_METRICS)
        config, path = first.pop("config"), first.pop("path")
        facts = {fact: value for fact, value in first.items() if value is not None}
        facts["primary_metric"] = next(metric["metric"] for metric in metrics if metric["primary"])
        content = json.dumps([first, config, metrics]).encode() if path is None else Path(path).read_bytes()
        yield Record(
            name=str(name),
            digest=hashlib.sha256(content).hexdigest(),
            facts=facts,
            config=json.loads(config),
            metrics={metric["metric"]: float(metric["value"]) for metric in metrics},
            about={metric["metric"]: _about(metric) for metric in metrics},
            created=datetime.datetime.fromisoformat(first["created"]),
        )


def _about(metric: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "unit": metric["unit"],
        "direction": "higher is better" if metric["higher_is_better"] else "lower is better",
        "n": metric["images"],
    }
    if metric["interval_low"] is not None:
        facts["interval95"] = [metric["interval_low"], metric["interval_high"]]
    return facts


def library(name: str, package: str) -> Any:
    """Import an optional library.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        needed = f"mmbench leaderboard export {name}"
        raise MissingExtraError(name, needed, f"pip install {package}") from None


def require_empty(out: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        UserError: it does.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out} is not empty; choose a new folder, so that no record is there twice")


@contextlib.contextmanager
def variables(
    prefix: str, *, kept: Collection[str] = (), ours: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Hide the environment variables that begin with `prefix`, and set `ours`; at the end all are as before.

    Args:
        prefix: the beginning of names.
        kept: names that are not hidden.
        ours: variables to set, whose names begin with it too.
    """
    before = {name: value for name, value in os.environ.items() if name.startswith(prefix)}
    for name in before.keys() - set(kept):
        del os.environ[name]
    os.environ.update(ours or {})
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(prefix)]:
            del os.environ[name]
        os.environ.update(before)
