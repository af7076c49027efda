"""The columns of the table beside its scores: order, headings, numbers and words, for every renderer.

A new one is an entry of `ROW_COLUMNS`. Page, Markdown, LaTeX, terminal, CSV, Parquet and JSON draw from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mmbench.file_names import counted
from mmbench.leaderboard.board import Board, Row
from mmbench.leaderboard.render.wording import (
    MISSING,
    compute_words,
    probability_words,
    rank_words,
    rate_words,
    seconds_words,
    seeds_words,
)

Value = float | int | str | bool | None
Place = Literal["scores", "costs", "data"]
MOST_ROWS = 40  # of Markdown and terminal: a longer table is read on the page or from scores.csv


@dataclass(frozen=True)
class RowColumn:
    """A column about the rows themselves, such as their rank or the cost of their pretraining.

    Attributes:
        name: in data files and as an identifier, such as "mean_rank".
        heading: in tables.
        explanation: a sentence that says what it holds.
        place: "scores": beside the scores; "costs": in the table of costs; "data": in data files alone.
        value: the number or text to sort by and to write into data files; None where it is unknown.
        words: the text to show.
        unit: of the number, in words; empty for text and pure numbers.
        ascending: whether the best or first comes from the low end.
    """

    name: str
    heading: str
    explanation: str
    place: Place
    value: Callable[[Row], Value]
    words: Callable[[Row], str]
    unit: str = ""
    ascending: bool = True
    numeric: bool = True


def _text(name: str, heading: str, explanation: str, value: Callable[[Row], str | None]) -> RowColumn:
    """Return a column of text in the table of costs."""
    return RowColumn(
        name, heading, explanation, "costs", value, lambda row: value(row) or MISSING, numeric=False
    )


def _number(name: str, explanation: str, value: Callable[[Row], Value], unit: str = "") -> RowColumn:
    """Return a column of data files alone."""
    return RowColumn(name, name, explanation, "data", value, lambda row: str(value(row)), unit)


ROW_COLUMNS: tuple[RowColumn, ...] = (
    RowColumn(
        "mean_rank",
        "rank",
        "Mean of the ranks over the columns of the ranking, with its 95% interval; 1 is best.",
        "scores",
        lambda row: row.mean_rank,
        rank_words,
    ),
    _number(
        "rank_low",
        "Lower end of the interval of the mean rank.",
        lambda row: row.rank_interval and row.rank_interval[0],
    ),
    _number(
        "rank_high",
        "Upper end of the interval of the mean rank.",
        lambda row: row.rank_interval and row.rank_interval[1],
    ),
    RowColumn(
        "p_best",
        "P(best)",
        "Share of draws of all means in which it ranks best; too high where rows hardly differ.",
        "scores",
        lambda row: row.p_best,
        lambda row: probability_words(row.p_best),
        "share",
        ascending=False,
    ),
    _text("arch", "network", "The backbone.", lambda row: row.arch),
    _text("masking", "masking", "How a view is corrupted in pretraining.", lambda row: row.masking),
    _text("pretrain_data", "pretraining data", "Data set of the pretraining.", lambda row: row.pretrain_data),
    RowColumn(
        "epochs",
        "epochs",
        "Epochs of the pretraining.",
        "costs",
        lambda row: row.epochs,
        lambda row: MISSING if row.epochs is None else str(row.epochs),
    ),
    _text("precision", "precision", "Number format of the pretraining.", lambda row: row.precision),
    RowColumn(
        "pretrain_compute",
        "one pretraining, computing time",
        "Processor (CPU) or GPU time of one pretraining, whatever else the machine did; mean over "
        "pretrainings.",
        "costs",
        lambda row: row.pretrain_compute,
        lambda row: compute_words(row.pretrain_compute, row.compute_kind),
        "seconds",
    ),
    _number("compute_kind", 'Kind of pretrain_compute: "cpu" or "gpu".', lambda row: row.compute_kind),
    RowColumn(
        "pretrain_seconds",
        "one pretraining, wall time",
        "Wall time of one pretraining: longer on a busy machine; mean over pretrainings.",
        "costs",
        lambda row: row.pretrain_seconds,
        lambda row: seconds_words(row.pretrain_seconds),
        "seconds",
    ),
    RowColumn(
        "transfer_compute",
        "all transfer runs, computing time",
        "Processor (CPU) or GPU time of all transfer runs together.",
        "costs",
        lambda row: row.transfer_compute,
        lambda row: compute_words(row.transfer_compute, row.transfer_compute_kind),
        "seconds",
    ),
    _number(
        "transfer_compute_kind",
        'Kind of transfer_compute: "cpu" or "gpu".',
        lambda row: row.transfer_compute_kind,
    ),
    RowColumn(
        "transfer_seconds",
        "all transfer runs, wall time",
        "Wall time of all transfer runs together.",
        "costs",
        lambda row: row.transfer_seconds,
        lambda row: seconds_words(row.transfer_seconds),
        "seconds",
    ),
    RowColumn(
        "images_per_second",
        "images/s",
        "Images per second of the transfer runs: median over the runs that say it.",
        "costs",
        lambda row: row.images_per_second,
        lambda row: rate_words(row.images_per_second),
        "images per second",
        ascending=False,
    ),
    RowColumn(
        "seeds",
        "seeds",
        "Pretraining seeds.",
        "costs",
        lambda row: " ".join(map(str, row.pretraining_seeds)) or None,
        seeds_words,
        numeric=False,
    ),
    _number("weights", "Number of different weights.", lambda row: row.weights),
)


def row_columns(board: Board, *places: Place) -> tuple[RowColumn, ...]:
    """Return the columns of these places (of all, if none is named) that at least one row has a value for."""
    return tuple(
        column
        for column in ROW_COLUMNS
        if (not places or column.place in places) and any(column.value(row) is not None for row in board.rows)
    )


def first_rows(board: Board, limit: int | None = MOST_ROWS) -> tuple[tuple[Row, ...], str]:
    """Return the first rows of a board and, in words, how many are left out; of all rows no words.

    The baseline is always among them.

    Args:
        limit: number of rows; None for all.
    """
    if limit is None or len(board.rows) <= limit:
        return board.rows, ""
    shown = board.rows[:limit]
    shown += tuple(row for row in board.rows[limit:] if row.baseline)
    left_out = len(board.rows) - len(shown)
    return (
        shown,
        f"{counted(left_out, 'row')} of {len(board.rows)} left out here; scores.csv has all of them.",
    )


def legend(board: Board) -> tuple[str, ...]:
    """Return what the marks of the table mean, a sentence each."""
    sentences = [
        "Mean over pretrainings ± sample standard deviation over runs; n is their number.",
        "Best: no other row of the column is better beyond chance; never a single run.",
    ]
    if board.ranking.columns:
        sentences.append("Rank: mean of the ranks over the columns of the ranking, with its 95% interval.")
    if board.baseline is not None:
        sentences.append(
            f"Differences are to {board.baseline}, in brackets their 95% interval; marked where they are "
            "beyond chance after Holm's correction over the board."
        )
    if any(
        cell.delta is not None
        and cell.delta.interval is not None
        and cell.delta.interval.basis != "pretrainings"
        for cell in board.cells.values()
    ):
        sentences.append(
            "° marks an interval over runs or images of single weights, which says nothing about the method."
        )
    return tuple(sentences)
