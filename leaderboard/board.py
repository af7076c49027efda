"""Board: the frozen table that every renderer draws, with scores, ranks and differences."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from mmbench.files import safe_name
from mmbench.formatting import Unit
from mmbench.leaderboard.published.types import PublishedGroup
from mmbench.leaderboard.statistics.overall import Overall
from mmbench.leaderboard.statistics.summaries import SIGNIFICANCE, Interval, Summary

# Task, data set, protocol and primary metric: what makes a column.
ColumnKey = tuple[str, str, str, str]
# (what, value) pairs of code, machine and packages.
Provenance = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Run:
    """One measured value and its record.

    Attributes:
        weights: identity of the pretraining that it belongs to; runs that share it are not independent.
        record: path of the record below its results folder.
        labels: digest of the labels that a run with few of them saw.
        interval: 95% interval of the value over the evaluated images, where the record has one.
        provenance: place of its code, machine and packages in the board's `provenances`.
        files: what lies beside the record: pictures and per-image outcomes, relative like `record`.
    """

    value: float
    pretraining_seed: int | None
    transfer_seed: int
    weights: str = ""
    record: str = ""
    labels: str | None = None
    interval: tuple[float, float] | None = None
    created: str = ""
    provenance: int | None = None
    effective_lr: float | None = None
    wall_seconds: float | None = None
    compute_seconds: float | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Delta:
    """Difference of a row's mean to the baseline's mean, in the metric's own sign and unit.

    Attributes:
        better: True where the difference is in the row's favour; None at exactly zero.
        interval: 95%, for this difference alone; None where the runs do not allow one.
        p: two-sided p value of this difference alone.
        adjusted_p: p by Holm over all differences of the board.
        method: how p and interval were computed, such as "Welch t over pretrainings".
        paired: whether runs of equal seeds and labels were compared.
    """

    value: float
    better: bool | None
    interval: Interval | None
    p: float | None = None
    adjusted_p: float | None = None
    method: str = ""
    paired: bool = False

    @property
    def separable(self) -> bool:
        """Whether the difference is beyond chance, after Holm's correction over the board."""
        return self.adjusted_p is not None and self.adjusted_p < SIGNIFICANCE


@dataclass(frozen=True)
class Cell:
    """One row in one column.

    Attributes:
        rank: 1 is best; equal means share their average rank; over all rows of the column.
        best: no other row of the column is better beyond chance; never for a single run.
        delta: to the baseline; None on the baseline's own row, without a baseline, or where it is missing.
        runs: every measured value.
    """

    summary: Summary
    rank: float
    best: bool
    delta: Delta | None
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class SecondaryCell:
    """One row in one column, by another metric of the same runs: it neither ranks nor is it corrected for."""

    metric: str
    higher_is_better: bool
    unit: Unit
    summary: Summary
    delta: Delta | None


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
    """One kind of weights: an arm, and what distinguishes it from other rows of the same arm.

    Attributes:
        name: the arm, and in brackets what distinguishes it where an arm has several rows; unique.
        control: random weights or raw pixels: nothing was pretrained.
        complete: whether it has all columns.
        mean_rank: mean of the ranks over the columns of the ranking; None for a row that is not ranked.
        rank_interval: 95% interval of the mean rank.
        p_best: share of draws, of means within their spread, in which its mean rank is the lowest.
        pretrain_seconds: mean wall time of a pretraining; None where unknown or nothing was pretrained.
        pretrain_compute: mean processor or GPU seconds of a pretraining; `compute_kind` says which.
        transfer_seconds: wall time of all transfer runs together; `transfer_compute` the same in
            processor or GPU seconds, `transfer_compute_kind` says which.
        images_per_second: median over the runs that say it.
        weights: number of different weights.
    """

    name: str
    arm: str
    baseline: bool
    control: bool
    complete: bool
    mean_rank: float | None
    arch: str
    method: str | None
    masking: str | None
    pretrain_data: str | None
    epochs: int | None
    pretraining_seeds: tuple[int, ...]
    pretrain_seconds: float | None
    transfer_seconds: float
    high_pass: str | None
    rank_interval: tuple[float, float] | None = None
    p_best: float | None = None
    framework: str | None = None
    recipe: str | None = None
    pretrain_fingerprint: str | None = None
    precision: str | None = None
    image_size: int | None = None
    pretrain_compute: float | None = None
    transfer_compute: float | None = None
    compute_kind: str | None = None
    images_per_second: float | None = None
    weights: int = 0
    transfer_compute_kind: str | None = None

    @property
    def ranked(self) -> bool:
        """Whether it has all columns of the ranking."""
        return self.mean_rank is not None


@dataclass(frozen=True)
class Ranking:
    """The columns that rows are ranked over: those that all ranked rows share.

    Attributes:
        columns: keys; empty where no row has them all, so that there is no overall rank.
        words: which columns those are, and why, in a sentence.
    """

    columns: tuple[ColumnKey, ...]
    words: str


@dataclass(frozen=True)
class Anchor:
    """A measured cell beside the published value of the same weights under the same protocol.

    Attributes:
        difference: measured minus published, in the metric's unit.
        source: where the published value stands.
        note: what is not equal, if anything.
    """

    row: str
    column: ColumnKey
    measured: float
    published: float
    difference: float
    source: str
    note: str = ""


@dataclass(frozen=True)
class Board:
    """Rows in order of rank, columns, cells by (name of the row, key of the column), and what to know.

    Attributes:
        baseline: name of the row that deltas refer to; None for a board without.
        footnotes: caveats, the gravest first.
        environment: (what, values) pairs: versions, hardware, code.
        provenances: the different ones, each once; runs name theirs by its place.
        created: date of the newest record, so that the same records give the same bytes.
        verdict: whether any pretraining differs from the baseline beyond chance, in a sentence.
        secondary: by row and column: the metrics that do not rank.
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
    ranking: Ranking = Ranking((), "")
    overall: Overall | None = None
    anchors: tuple[Anchor, ...] = ()
    verdict: str = ""
    secondary: dict[tuple[str, ColumnKey], tuple[SecondaryCell, ...]] = field(default_factory=dict)
    provenances: tuple[Provenance, ...] = ()

    def cell(self, row: Row, column: Column) -> Cell | None:
        """Return what `row` reached in `column`; None if that was not measured."""
        return self.cells.get((row.name, column.key))
