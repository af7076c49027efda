"""Boards as renderers get them, of any size, without records or statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import pytest

from mmbench.leaderboard.board import Board, Cell, Column, Delta, Ranking, Row, Run
from mmbench.leaderboard.statistics.overall import Overall
from mmbench.leaderboard.statistics.summaries import Interval, Summary

# As long, foreign or dangerous as names may be.
HOSTILE = (
    r"50% & $5_a^b #1 {~} \input{x}",
    "[x]*--``a''<<?`",
    "=SUM(A1) | <script>alert(1)</script>",
    "na\u00efve \u00dfe\u0142\u00e5 \u0141\u00f3d\u017a \u0111\u00fe\u00f0\u0152\u0131\u014b",
    "e\u0301 combining a\u0308\u0323",
    "\u4e2d\u6587\u65b9\u6cd5",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "\U0001f600 emoji \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "zero\u200bwidth\u202eright",
    "\u03b1\u03b2 \u2264 \u221e \u2192 \u00d7 \u00b5 \u20ac \u2026 \u2018q\u2019 \u043c\u043e\u0441\u043e",
    "a" * 150,
    "with-a-long name and brackets (mixmask_resnet50, imagenet, 224 px, 800 epochs)",
)


def board_of(
    names: Sequence[str], columns: int = 6, *, baseline: str | None = None, labels: Sequence[str] = ()
) -> Board:
    """Return a board of these rows, the first one best in every column; the last one is a control.

    Rows differ by one point in the mean and have two runs each; every second difference is beyond chance.
    """
    made = tuple(_column(place, labels) for place in range(columns))
    cells = {}
    for place, name in enumerate(names):
        for number, column in enumerate(made):
            mean = 90 - place * 80 / len(names) + 0.3 * number
            delta = None
            if baseline is not None and name != baseline:
                value = (names.index(baseline) - place) * 80 / len(names)
                p = 0.01 if place % 2 else 0.5
                interval = Interval(value - 2, value + 2, 2.0, "pretrainings", p)
                delta = Delta(value, value > 0, interval, p, p)
            cells[name, column.key] = Cell(
                summary=Summary(mean, 0.5, 2, 2, Interval(mean - 3, mean + 3, 1.0, "pretrainings")),
                rank=place + 1,
                best=place < 2,
                delta=delta,
                runs=(Run(mean - 0.5, 0, 0, f"{place} a"), Run(mean + 0.5, 1, 1, f"{place} b")),
            )
    thresholds = tuple(step / 20 for step in range(21))
    shares = {name: 1 - place / len(names) for place, name in enumerate(names)}
    return Board(
        title="A board",
        baseline=baseline,
        rows=tuple(_row(name, place, len(names), baseline) for place, name in enumerate(names)),
        columns=made,
        cells=cells,
        footnotes=("A note with 50% & more.",),
        environment=(),
        published=(),
        records=2 * len(cells),
        created="2026-07-01",
        ranking=Ranking(tuple(column.key for column in made), "All columns."),
        overall=Overall(
            iqm={name: (share, share - 0.1, share + 0.1) for name, share in shares.items()},
            thresholds=thresholds,
            profiles={name: tuple(max(0.0, share - t) for t in thresholds) for name, share in shares.items()},
            critical_difference={
                (one, other): 0.5 if abs(names.index(one) - names.index(other)) < 3 else 0.01
                for one, other in combinations(names[:50], 2)
            }
            if columns >= 6
            else None,
        ),
    )


def _column(place: int, labels: Sequence[str]) -> Column:
    return Column(
        label=labels[place] if place < len(labels) else f"Probe {place}",
        task=("linear", "knn", "semisup")[place % 3],
        dataset=f"data{place}",
        fingerprint="ab" * 32,
        split="test",
        protocol=f"probe/{place}@1",
        metric="top1",
        higher_is_better=True,
        unit="percent",
        images=2000,
        config="{}",
        split_sizes="{}",
        effective_lrs=(),
        notes=(),
    )


def _row(name: str, place: int, rows: int, baseline: str | None) -> Row:
    control = place == rows - 1
    return Row(
        name=name,
        arm=name,
        baseline=name == baseline,
        control=control,
        complete=True,
        mean_rank=place + 1.0,
        arch="mixmask_resnet8",
        method=name,
        masking=None,
        pretrain_data="patterns",
        epochs=8,
        pretraining_seeds=(0, 1),
        pretrain_seconds=None if control else 3600.0 * (rows - place),
        transfer_seconds=100.0,
        high_pass=None,
        rank_interval=(max(1.0, place), place + 2.0),
        p_best=0.5 if place < 2 else 0.0,
        pretrain_compute=None if control else 7200.0 * (rows - place),
        compute_kind=None if control else "gpu",
    )


@pytest.fixture
def make_board_of() -> Callable[..., Board]:
    """Return `board_of`."""
    return board_of


@pytest.fixture
def hostile_names() -> tuple[str, ...]:
    """Return names as long, foreign or dangerous as they may be."""
    return HOSTILE
