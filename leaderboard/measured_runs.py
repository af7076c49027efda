"""The measured values of a cell with what is known about each run, and the files beside their records."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import pandas as pd

from mmbench.leaderboard.board import Run
from mmbench.leaderboard.records.frame import lines_of

ORDER = ["pretraining_seed", "transfer_seed", "weights", "file"]
FIELDS = [
    *("value", "pretraining_seed", "transfer_seed", "weights", "file", "labels"),
    *("interval_low", "interval_high", "created", "effective_lr", "wall_seconds", "compute"),
]


def runs_of(records: pd.DataFrame, provenances: Sequence[int]) -> dict[object, Run]:
    """Return a Run per record, by the index of the frame's line of its primary value.

    Args:
        provenances: of each line: the place of its provenance on the board.
    """
    files = _files_beside(records)
    lines = zip(records.index, lines_of(records, FIELDS), provenances, strict=True)
    return {
        index: Run(
            value=float(line["value"]),
            pretraining_seed=line["pretraining_seed"],
            transfer_seed=int(line["transfer_seed"]),
            weights=line["weights"],
            record=line["file"],
            labels=line["labels"],
            interval=_interval(line["interval_low"], line["interval_high"]),
            created=line["created"],
            provenance=provenance,
            effective_lr=line["effective_lr"],
            wall_seconds=line["wall_seconds"],
            compute_seconds=line["compute"],
            files=files.get(line["file"], ()),
        )
        for index, line, provenance in lines
    }


def _interval(low: float | None, high: float | None) -> tuple[float, float] | None:
    return None if low is None or high is None else (float(low), float(high))


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
