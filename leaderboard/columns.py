"""The columns of a board: which there are, in which order, with which headings."""

from __future__ import annotations

import json
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from mmbench.leaderboard.board import Column, ColumnKey
from mmbench.leaderboard.render.wording import named
from mmbench.tasks import TASKS

KEY = ["task", "dataset", "protocol", "metric"]


def columns_of(records: pd.DataFrame, order: Sequence[tuple[str, str, str]] = ()) -> tuple[Column, ...]:
    """Return the columns of primary values.

    Args:
        records: the lines of the frame that hold primary values.
        order: task, data set and protocol of columns as they are asked for; others follow in the order of
            their tasks.
    """
    groups = {_key(key): group for key, group in records.groupby(KEY, sort=False)}
    columns = (_column(label, groups[key]) for key, label in _labels(groups).items())
    place = {name: number for number, name in enumerate(order)}
    return tuple(sorted(columns, key=lambda column: place.get(column.key[:3], len(place))))


def _key(values: Iterable[Hashable]) -> ColumnKey:
    task, dataset, protocol, metric = map(str, values)
    return task, dataset, protocol, metric


def _labels(groups: Mapping[ColumnKey, pd.DataFrame]) -> dict[ColumnKey, str]:
    """Return a heading for each column, in order: the task's, and what distinguishes equal ones."""
    found = {key: _heading(key[0], json.loads(group["config"].iloc[0])) for key, group in groups.items()}
    ordered = sorted(found.items(), key=lambda item: (*item[1][1:], item[0]))
    labels = {key: label for key, (label, _, _) in ordered}
    for distinguish in (1, 2, 0, 3):  # by data set, then by protocol, task and metric
        words = list(labels.values())
        labels = {
            key: f"{label}, {key[distinguish]}" if words.count(label) > 1 else label
            for key, label in labels.items()
        }
    return labels


def _heading(task: str, config: Mapping[str, Any]) -> tuple[str, float, float]:
    """Return heading, position of the task and position within it; of a task of no package here its name."""
    if task not in TASKS.names():
        return task, math.inf, 0.0
    column = TASKS.get(task).column
    label, position = column.of(config)
    return label, column.order, position


def _column(label: str, group: pd.DataFrame) -> Column:
    first = group.iloc[0]
    return Column(
        label=label,
        task=first["task"],
        dataset=first["dataset"],
        fingerprint=first["fingerprint"],
        split=first["split"],
        protocol=first["protocol"],
        metric=first["metric"],
        higher_is_better=bool(first["higher_is_better"]),
        unit=first["unit"],
        images=int(first["images"]),
        config=first["config"],
        split_sizes=first["split_sizes"],
        effective_lrs=tuple(sorted(float(rate) for rate in group["effective_lr"].dropna().unique())),
        notes=_notes(group),
    )


def _notes(group: pd.DataFrame) -> tuple[str, ...]:
    """Return the notes of the records, each with its rows where not all have it."""
    noted: dict[str, set[str]] = {}
    for row, notes in group[["row", "notes"]].drop_duplicates().itertuples(index=False, name=None):
        for note in json.loads(notes):
            noted.setdefault(note, set()).add(row)
    everyone = set(group["row"])
    return tuple(
        note if rows == everyone else f"{named(sorted(rows))}: {note}" for note, rows in sorted(noted.items())
    )
