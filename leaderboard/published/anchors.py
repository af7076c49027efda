"""Anchors: a measured cell beside the published value of the same weights under the same protocol.

anchors.csv lists which published numbers can be met exactly: our protocol and data set, the released file of
weights with its facts, and where the number stands in published_results.csv.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources

import pandas as pd

from mmbench.data.official import NOT_COMPARABLE
from mmbench.leaderboard.board import Anchor, Board, Cell, Column, Row
from mmbench.leaderboard.published.groups import published_table

# What identifies a row of published_results.csv.
PUBLISHED = ["method", "variant", "task", "dataset", "protocol", "metric", "source"]


@functools.cache
def known_anchors() -> pd.DataFrame:
    """Return the published numbers that a run can meet exactly, as text, each with its value."""
    source = resources.files("mmbench.leaderboard.published").joinpath("anchors.csv")
    with source.open(encoding="utf-8") as stream:
        entries = pd.read_csv(stream, dtype=str, keep_default_na=False)
    published = published_table().rename(columns={"pretrain_epochs": "epochs"})
    keys = [*PUBLISHED, "epochs"]
    return entries.merge(published[[*keys, "value"]], on=keys, how="left")


def with_anchors(board: Board) -> Board:
    """Return the board with its anchors, which stand apart: they are never ranked."""
    return replace(board, anchors=tuple(_anchors(board)))


def _anchors(board: Board) -> Iterator[Anchor]:
    for number in known_anchors().to_dict("records"):
        entry = {str(name): str(value) for name, value in number.items()}
        for column in board.columns:
            if not _same_protocol(entry, column):
                continue
            for row in board.rows:
                cell = board.cell(row, column)
                if cell is not None and _same_weights(entry, row):
                    yield _anchor(entry, row, column, cell)


def _same_protocol(entry: dict[str, str], column: Column) -> bool:
    return (
        column.protocol in entry["protocols"].split()
        and (column.dataset, column.metric) == (entry["data"], entry["metric"])
        and column.images == int(entry["images"])
        and not any(NOT_COMPARABLE in note for note in column.notes)
    )


def _same_weights(entry: dict[str, str], row: Row) -> bool:
    """Return whether a row is the released file: the arm is its name, unless another was asked for."""
    return (row.arm, row.framework, row.arch, row.epochs, row.weights) == (
        entry["file"],
        entry["framework"],
        entry["arch"],
        int(entry["epochs"]),
        1,
    )


def _anchor(entry: dict[str, str], row: Row, column: Column, cell: Cell) -> Anchor:
    published = float(entry["value"])
    how = f"weights known by the name {entry['file']}, {entry['arch']} and {entry['epochs']} epochs"
    trials = f"published: {entry['variant']}; measured: n={cell.summary.runs}"
    return Anchor(
        row=row.name,
        column=column.key,
        measured=cell.summary.mean,
        published=published,
        difference=cell.summary.mean - published,
        source=entry["source"],
        note="; ".join(filter(None, (trials, entry["differs"], how))),
    )
