"""Tidy frame to Board: cells, ranks, deltas, order of rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from mmbench.errors import UserError, unknown_name
from mmbench.leaderboard.board import Board, Cell, Column, ColumnKey, Delta, Row, Run
from mmbench.leaderboard.facts import environment, footnotes
from mmbench.leaderboard.published.types import PublishedGroup
from mmbench.leaderboard.records.comparable import comparable
from mmbench.leaderboard.records.refusals import COLUMN
from mmbench.leaderboard.statistics.summaries import summarise, welch_interval
from mmbench.tasks import TASKS

RUN_COLUMNS = ["value", "pretraining_seed", "transfer_seed", "weights", "file"]


def make_board(
    frame: pd.DataFrame,
    baseline: str | None = None,
    *,
    title: str = "mmbench leaderboard",
    published: tuple[PublishedGroup, ...] = (),
) -> Board:
    """Turn a tidy frame of records (see `load_frame`) into a board.

    Rows are ordered by the mean of their ranks over the columns; an arm that lacks a column stands below
    those that have all.

    Raises:
        UserError: no record of the baseline (near match named), or records that do not compare.
    """
    frame = comparable(frame)
    names = sorted(frame["row"].unique())
    if baseline is not None and baseline not in names:
        raise unknown_name("baseline", baseline, names)
    records = frame[frame["primary"]]
    columns, cells = [], {}
    labels = _labels(records)
    for key in frame.attrs.get("columns", labels):  # the order that --columns asks for
        label = labels[key]
        group = records[(records[COLUMN] == list(key)).all(axis=1)]
        column = _column(label, group)
        columns.append(column)
        cells.update({(name, column.key): cell for name, cell in _cells(group, baseline).items()})
    cells = _adjusted(cells)
    by_row = {str(name): runs for name, runs in records.groupby("row")}
    rows = [_row(name, by_row[name], baseline, columns, cells) for name in names]
    rows.sort(key=lambda row: (row.mean_rank is None, row.mean_rank or 0, row.name))
    return Board(
        title=title,
        baseline=baseline,
        rows=tuple(rows),
        columns=tuple(columns),
        cells=cells,
        footnotes=footnotes(tuple(rows), tuple(columns), cells, baseline, records),
        environment=environment(records),
        published=published,
        records=len(records),
        created=str(records["created"].max())[:10],
    )


def _labels(records: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """Return a heading for each column, in order: the task's, and what distinguishes equal ones."""
    found = {}
    for *key, config in records.drop_duplicates(COLUMN)[[*COLUMN, "config"]].itertuples(
        index=False, name=None
    ):
        task, dataset, protocol = key
        found[task, dataset, protocol] = _heading(task, json.loads(config))
    ordered = sorted(found.items(), key=lambda item: (*item[1][1:], item[0]))
    labels = {key: label for key, (label, _, _) in ordered}
    for distinguish in (1, 2):  # by data set, then by protocol
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
    noted: dict[str, set[str]] = {}
    for arm, notes in zip(group["row"], group["notes"], strict=True):
        for note in json.loads(notes):
            noted.setdefault(note, set()).add(arm)
    everyone = set(group["row"])
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
        notes=tuple(
            note if arms == everyone else f"{', '.join(sorted(arms))}: {note}"
            for note, arms in sorted(noted.items())
        ),
    )


def _cells(group: pd.DataFrame, baseline: str | None) -> dict[str, Cell]:
    """Return the cells of one column by the name of the row."""
    by_row = {str(name): runs for name, runs in group.groupby("row")}
    summaries = {name: summarise(runs) for name, runs in by_row.items()}
    higher = bool(group["higher_is_better"].iloc[0])
    means = pd.Series({name: summary.mean for name, summary in summaries.items()})
    ranks = means.rank(ascending=not higher, method="average")
    best = means.max() if higher else means.min()
    cells = {}
    for name, runs in by_row.items():
        delta = None
        if baseline in by_row and name != baseline:
            difference = summaries[name].mean - summaries[baseline].mean
            better = None if difference == 0 else (difference > 0) == higher
            interval = welch_interval(runs, by_row[baseline])
            delta = Delta(difference, better, interval, None if interval is None else interval.p)
        ordered = runs.sort_values(["pretraining_seed", "transfer_seed"])
        cells[name] = Cell(
            summary=summaries[name],
            rank=float(ranks[name]),
            best=bool(means[name] == best),
            delta=delta,
            runs=tuple(_run(*run) for run in ordered[RUN_COLUMNS].itertuples(index=False, name=None)),
        )
    return cells


def _run(value: float, pretraining_seed: object, transfer_seed: int, weights: str, record: str) -> Run:
    seed = None if pd.isna(pretraining_seed) else int(pretraining_seed)  # type: ignore[call-overload]
    return Run(float(value), seed, int(transfer_seed), weights, record)


def _adjusted(cells: dict[tuple[str, ColumnKey], Cell]) -> dict[tuple[str, ColumnKey], Cell]:
    """Return the cells with the p values of their differences adjusted by Holm over the board."""
    from statsmodels.stats.multitest import multipletests

    keys = [key for key, cell in cells.items() if cell.delta is not None and cell.delta.p is not None]
    if not keys:
        return cells
    adjusted = multipletests([cells[key].delta.p for key in keys], method="holm")[1]  # type: ignore[union-attr]
    changed = {
        key: replace(cells[key], delta=replace(cells[key].delta, adjusted_p=float(p)))  # type: ignore[type-var]
        for key, p in zip(keys, adjusted, strict=True)
    }
    return {**cells, **changed}


def _row(
    name: str,
    records: pd.DataFrame,
    baseline: str | None,
    columns: list[Column],
    cells: dict[tuple[str, ColumnKey], Cell],
) -> Row:
    first = records.sort_values("created").iloc[0]
    own = [cells[name, column.key] for column in columns if (name, column.key) in cells]
    seconds = records.drop_duplicates("weights")["pretrain_seconds"].dropna()
    seeds = records["pretraining_seed"].dropna().unique()
    return Row(
        name=name,
        arm=str(first["arm"]),
        baseline=name == baseline,
        control=bool(first["control"]),
        mean_rank=sum(cell.rank for cell in own) / len(own) if len(own) == len(columns) else None,
        complete=len(own) == len(columns),
        arch=" and ".join(sorted(records["arch"].unique())),
        method=_text(first["method"]),
        masking=_text(first["masking"]),
        pretrain_data=_text(first["pretrain_data"]),
        epochs=_only(records["pretrain_epochs"], name),
        pretraining_seeds=tuple(sorted(int(seed) for seed in seeds)),
        pretrain_seconds=float(seconds.mean()) if len(seconds) else None,
        transfer_seconds=float(records["wall_seconds"].sum()),
        high_pass=_text(first["high_pass"]),
    )


def _text(value: object) -> str | None:
    """Return a text fact; pandas holds absent ones as NaN."""
    return value if isinstance(value, str) else None


def _only(epochs: pd.Series[float], name: str) -> int | None:
    """Return the one number of epochs of a row over all columns; None where unknown.

    Raises:
        UserError: it has two, so that its columns are about different weights.
    """
    values = sorted({int(value) for value in epochs.dropna()})
    if len(values) > 1:
        raise UserError(
            f"{name} has records of {' and '.join(map(str, values))} pretraining epochs, "
            "so its row would be about different weights; keep the records of one in the results folder"
        )
    return values[0] if values else None
