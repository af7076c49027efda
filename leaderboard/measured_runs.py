"""The measured values of a cell with what is known about each run, and the files beside their records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import PurePosixPath

import pandas as pd

from mmbench.leaderboard.board import Run

ORDER = ["pretraining_seed", "transfer_seed", "weights", "file"]
# Columns of the frame in the order of Run's fields, without `files`.
FIELDS = [
    "value",
    "pretraining_seed",
    "transfer_seed",
    "weights",
    "file",
    "labels",
    "interval_low",
    "interval_high",
    "created",
    "git_sha",
    "device",
    "wall_seconds",
    "compute",
]


def runs_of(records: pd.DataFrame) -> dict[object, Run]:
    """Return a Run per record, by the index of the frame's line of its primary value."""
    files = _files_beside(records)
    columns = (records[name].astype(object).where(records[name].notna(), None).tolist() for name in FIELDS)
    return {
        index: Run(
            value=float(value),
            pretraining_seed=seed,
            transfer_seed=int(transfer_seed),
            weights=weights,
            record=record,
            labels=labels,
            interval=None if low is None or high is None else (float(low), float(high)),
            created=created,
            commit=commit,
            device=device,
            wall_seconds=wall,
            compute_seconds=compute,
            files=files.get(record, ()),
        )
        for index, (
            value,
            seed,
            transfer_seed,
            weights,
            record,
            labels,
            low,
            high,
            created,
            commit,
            device,
            wall,
            compute,
        ) in zip(records.index, zip(*columns, strict=True), strict=True)
    }


def _files_beside(records: pd.DataFrame) -> Mapping[str, tuple[str, ...]]:
    """Return the names of the files that belong to each record on disk, relative like the record's own.

    A figure or Parquet file of the record `moco.json` is named `moco.WHAT.ENDING`. Records that are not on
    disk have none. Every folder is listed once.
    """
    if "path" not in records:
        return {}
    folders: dict[str, dict[str, str]] = {}
    for name, path in zip(records["file"], records["path"], strict=True):
        if path is not None:
            folder, _, file = path.rpartition("/")
            folders.setdefault(folder, {})[file.rpartition(".")[0]] = name
    found: dict[str, list[str]] = {}
    for folder, by_stem in folders.items():
        try:
            present = sorted(entry.name for entry in os.scandir(folder or "/"))
        except OSError:
            continue  # gone since it was read
        for file in present:
            if file.startswith(".") or file.lower().endswith(".json"):
                continue
            stem = file
            while stem not in by_stem and "." in stem:
                stem = stem.rpartition(".")[0]
            if stem in by_stem:
                record = by_stem[stem]
                found.setdefault(record, []).append(PurePosixPath(record).with_name(file).as_posix())
    return {record: tuple(files) for record, files in found.items()}
