"""Board: the frozen table that every renderer draws, with scores, ranks and differences."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from mmbench.data.file_names import counted
from mmbench.files import safe_name
from mmbench.formatting import Unit
from mmbench.leaderboard.statistics import Interval, Summary

# Task, data set, protocol and primary metric: what makes a column.
ColumnKey = tuple[str, str, str, str]


@dataclass(frozen=True)
class Run:
    """One measured value, and the seeds that it belongs to."""

    value: float
    pretraining_seed: int | None
    transfer_seed: int


@dataclass(frozen=True)
class Delta:
    """Difference of an arm's mean to the baseline's mean, in the metric's own sign and unit.

    Attributes:
        better: True where the difference is in the arm's favour; None at exactly zero.
        interval: None where the seeds do not allow one.
    """

    value: float
    better: bool | None
    interval: Interval | None

    @property
    def separable(self) -> bool:
        """Whether the 95% interval excludes zero."""
        return self.interval is not None and self.interval.excludes_zero


@dataclass(frozen=True)
class Cell:
    """One arm in one column.

    Attributes:
        rank: 1 is best; equal means share their average rank.
        best: the best mean of the column.
        delta: to the baseline; None on the baseline's own row, without a baseline, or where it is missing.
        runs: every measured value.
    """

    summary: Summary
    rank: float
    best: bool
    delta: Delta | None
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Column:
    """One task, data set, protocol and primary metric, measured alike for all rows.

    Attributes:
        label: a short heading.
        images: images (or instances) that the metric was computed on.
        config: the resolved settings, as JSON.
        split_sizes: images per split that the task used, as JSON.
        notes: facts from the records.
    """

    label: str
    task: str
    dataset: str
    fingerprint: str
    split: str
    protocol: str
    metric: str
    higher_is_better: bool
    unit: Unit
    images: int
    config: str
    split_sizes: str
    effective_lrs: tuple[float, ...]
    notes: tuple[str, ...]

    @property
    def key(self) -> ColumnKey:
        """What makes it another column than the others."""
        return self.task, self.dataset, self.protocol, self.metric

    @property
    def name(self) -> str:
        """A name for files, such as "linear-patterns-v1-patterns-top1-1a2b3c4d".

        It ends in a digest of the key: what is safe in file names may be equal for two keys.
        """
        recipe = self.protocol.replace("/", "-").replace("@", "-v").replace("+", "-")
        digest = hashlib.sha256(json.dumps(self.key).encode()).hexdigest()[:8]
        return f"{recipe}-{safe_name(self.dataset)}-{safe_name(self.metric)}-{digest}"


@dataclass(frozen=True)
class Row:
    """One arm.

    Attributes:
        control: random weights or raw pixels: nothing was pretrained.
        mean_rank: mean of the ranks in the columns that the arm has.
        complete: whether it has all columns; ranks over different columns do not compare.
        pretrain_seconds: mean wall time of a pretraining; None where unknown or nothing was pretrained.
        transfer_seconds: wall time of all transfer runs together.
    """

    arm: str
    baseline: bool
    control: bool
    mean_rank: float
    complete: bool
    arch: str
    method: str | None
    masking: str | None
    pretrain_data: str | None
    epochs: int | None
    pretraining_seeds: tuple[int, ...]
    pretrain_seconds: float | None
    transfer_seconds: float
    high_pass: str | None


@dataclass(frozen=True)
class PublishedRow:
    """One published result: a method, variant and pretraining under one protocol of one source.

    All as the source prints it; an empty text is a fact that the source does not state. `values` follow the
    metrics of the group.

    Attributes:
        origin: "own run" if those who report it measured it, "quoted" if it is from another source, "own run
            or quoted" if the source does not say, "user report" from an issue of a repository.
        note: what a reader must know, such as doubts.
    """

    method: str
    variant: str
    backbone: str
    pretrain_data: str
    epochs: str
    batch_size: str
    values: tuple[str | None, ...]
    origin: str = "own run"
    note: str = ""

    @property
    def remarks(self) -> str:
        """The variant, the origin unless it is an own run, and the note, as one text."""
        origin = "" if self.origin == "own run" else self.origin
        return "; ".join(part for part in (self.variant, origin, self.note) if part)


@dataclass(frozen=True)
class PublishedGroup:
    """Published rows that compare: one task, data set, protocol and source.

    Attributes:
        repeats: quoted rows that are left out, as another group shows the same numbers.
    """

    task: str
    dataset: str
    protocol: str
    source: str
    metrics: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    repeats: int = 0

    @property
    def omission(self) -> str:
        """What is left out, in words; empty if nothing is."""
        if not self.repeats:
            return ""
        return f"{counted(self.repeats, 'quoted row')} of numbers that another table shows left out"


@dataclass(frozen=True)
class Board:
    """Rows in order of rank, columns, cells by (arm, key of the column), and what a reader must know.

    Attributes:
        baseline: the arm that deltas refer to; None for a board without.
        footnotes: caveats, the gravest first.
        environment: (what, values) pairs: versions, hardware, code.
        created: date of the newest record, so that the same records give the same bytes.
    """

    title: str
    baseline: str | None
    rows: tuple[Row, ...]
    columns: tuple[Column, ...]
    cells: dict[tuple[str, ColumnKey], Cell]
    footnotes: tuple[str, ...]
    environment: tuple[tuple[str, tuple[str, ...]], ...]
    published: tuple[PublishedGroup, ...]
    records: int
    created: str

    def cell(self, row: Row, column: Column) -> Cell | None:
        """Return what `row` reached in `column`; None if that was not measured."""
        return self.cells.get((row.arm, column.key))

    def as_json(self) -> dict[str, Any]:
        """Return the board as plain lists and dictionaries; cells become a list with arm and column."""
        plain = {name: value for name, value in vars(self).items() if name != "cells"}
        plain = {name: _plain(value) for name, value in plain.items()}
        plain["cells"] = [
            {"arm": row.arm, "column": column.name, **_plain(cell)}
            for row in self.rows
            for column in self.columns
            if (cell := self.cell(row, column)) is not None
        ]
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) else value  # type: ignore[arg-type]
