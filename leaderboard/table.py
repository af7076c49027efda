"""Tidy frame to Board: cells, ranks, deltas, order of rows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from mmbench.errors import UserError, unknown_name
from mmbench.leaderboard.board import Board, Cell, Column, ColumnKey, Delta, PublishedGroup, Row, Run
from mmbench.leaderboard.facts import environment, footnotes
from mmbench.leaderboard.refusals import COLUMN, refuse_mixtures
from mmbench.leaderboard.statistics import summarise, welch_interval
from mmbench.tasks import TASKS


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
    arms = sorted(frame["arm"].unique())
    if baseline is not None and baseline not in arms:
        raise unknown_name("baseline", baseline, arms)
    refuse_mixtures(frame)
    records = frame[frame["primary"]]
    columns, cells = [], {}
    for key, label in _labels(records).items():
        group = records[(records[COLUMN] == list(key)).all(axis=1)]
        column = _column(label, group)
        columns.append(column)
        cells.update({(arm, column.key): cell for arm, cell in _cells(group, baseline).items()})
    rows = [_row(arm, records[records["arm"] == arm], baseline, columns, cells) for arm in arms]
    rows.sort(key=lambda row: (not row.complete, row.mean_rank, row.arm))
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
    for arm, notes in zip(group["arm"], group["notes"], strict=True):
        for note in json.loads(notes):
            noted.setdefault(note, set()).add(arm)
    everyone = set(group["arm"])
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
    """Return the cells of one column by arm."""
    by_arm = {str(arm): runs for arm, runs in group.groupby("arm")}
    summaries = {arm: summarise(runs) for arm, runs in by_arm.items()}
    higher = bool(group["higher_is_better"].iloc[0])
    means = pd.Series({arm: summary.mean for arm, summary in summaries.items()})
    ranks = means.rank(ascending=not higher, method="average")
    best = means.max() if higher else means.min()
    cells = {}
    for arm, runs in by_arm.items():
        delta = None
        if baseline in by_arm and arm != baseline:
            difference = summaries[arm].mean - summaries[baseline].mean
            better = None if difference == 0 else (difference > 0) == higher
            delta = Delta(difference, better, welch_interval(runs, by_arm[baseline]))
        ordered = runs.sort_values(["pretraining_seed", "transfer_seed"])
        cells[arm] = Cell(
            summary=summaries[arm],
            rank=float(ranks[arm]),
            best=bool(means[arm] == best),
            delta=delta,
            runs=tuple(
                Run(float(value), None if pd.isna(pretraining) else int(pretraining), int(transfer))
                for value, pretraining, transfer in zip(
                    ordered["value"], ordered["pretraining_seed"], ordered["transfer_seed"], strict=True
                )
            ),
        )
    return cells


def _row(
    arm: str,
    records: pd.DataFrame,
    baseline: str | None,
    columns: list[Column],
    cells: dict[tuple[str, ColumnKey], Cell],
) -> Row:
    first = records.sort_values("created").iloc[0]
    own = [cells[arm, column.key] for column in columns if (arm, column.key) in cells]
    seconds = records.drop_duplicates("weights")["pretrain_seconds"].dropna()
    seeds = records["pretraining_seed"].dropna().unique()
    return Row(
        arm=arm,
        baseline=arm == baseline,
        control=bool(first["control"]),
        mean_rank=sum(cell.rank for cell in own) / len(own),
        complete=len(own) == len(columns),
        arch=" and ".join(sorted(records["arch"].unique())),
        method=_text(first["method"]),
        masking=_text(first["masking"]),
        pretrain_data=_text(first["pretrain_data"]),
        epochs=_only(records["pretrain_epochs"], arm),
        pretraining_seeds=tuple(sorted(int(seed) for seed in seeds)),
        pretrain_seconds=float(seconds.mean()) if len(seconds) else None,
        transfer_seconds=float(records["wall_seconds"].sum()),
        high_pass=_text(first["high_pass"]),
    )


def _text(value: object) -> str | None:
    """Return a text fact; pandas holds absent ones as NaN."""
    return value if isinstance(value, str) else None


def _only(epochs: pd.Series[float], arm: str) -> int | None:
    """Return the one number of epochs of an arm over all columns; None where unknown.

    Raises:
        UserError: it has two, so that its columns are about different weights.
    """
    values = sorted({int(value) for value in epochs.dropna()})
    if len(values) > 1:
        raise UserError(
            f"arm {arm} has records of {' and '.join(map(str, values))} pretraining epochs, "
            "so its row would be about different weights; keep the records of one in the results folder"
        )
    return values[0] if values else None
