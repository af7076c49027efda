"""The layout: a column is an entry of one list, and every renderer has it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from mmbench.leaderboard.board import Board
from mmbench.leaderboard.render import layout
from mmbench.leaderboard.render.board_json import board_json
from mmbench.leaderboard.render.csv_files import csv_text
from mmbench.leaderboard.render.data_tables import UNITS, scores_table
from mmbench.leaderboard.render.layout import ROW_COLUMNS, RowColumn, row_columns
from mmbench.leaderboard.render.markdown import render_markdown
from mmbench.leaderboard.render.parquet import parquet_bytes
from mmbench.leaderboard.render.terminal import print_board
from mmbench.leaderboard.render.wording import (
    compute_words,
    probability_words,
    rank_words,
    rate_words,
    seconds_words,
)


def test_a_new_column_is_one_entry(
    make_board_of: Callable[..., Board], monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = RowColumn(
        "letters",
        "letters",
        "Letters of the name.",
        "scores",
        lambda row: len(row.name),
        lambda row: f"<{len(row.name)}>",
    )
    monkeypatch.setattr(layout, "ROW_COLUMNS", (*ROW_COLUMNS, letters))
    board = make_board_of(["ab", "abc", "abcd"], 2)
    stream = io.StringIO()
    print_board(board, Console(file=stream, width=150))
    table = scores_table(board)
    data = json.loads(board_json(board, ()))
    assert "letters" in stream.getvalue() and "<3>" in stream.getvalue()
    assert "| letters |" in render_markdown(board) and "&lt;4&gt;" in render_markdown(board)
    assert ",row_letters" in csv_text(table)
    read = pd.read_parquet(io.BytesIO(parquet_bytes(table, UNITS)))
    assert read["row_letters"].tolist() == [2, 3, 4] * 2
    assert data["row_columns"][-1]["explanation"] == "Letters of the name."
    assert [row["letters"] for row in data["rows"]] == [2, 3, 4]


def test_only_columns_with_a_value_are_there_and_names_are_unique(
    make_board_of: Callable[..., Board],
) -> None:
    board = make_board_of(["a", "b"], 1)
    names = [column.name for column in row_columns(board)]
    assert "masking" not in names and {"mean_rank", "rank_low", "p_best", "pretrain_compute", "arch"} <= set(
        names
    )
    bare = replace(board, rows=tuple(replace(row, pretrain_compute=None, p_best=None) for row in board.rows))
    assert {"p_best", "pretrain_compute"}.isdisjoint(column.name for column in row_columns(bare))
    assert len({column.name for column in ROW_COLUMNS}) == len(ROW_COLUMNS)
    assert [column.heading for column in row_columns(board, "scores")] == ["rank", "P(best)"]


def test_words_of_ranks_probabilities_and_costs(make_board_of: Callable[..., Board]) -> None:
    row = make_board_of(["a"], 1).rows[0]
    assert rank_words(row) == "1.0 [1.0, 2.0]"
    halves = replace(row, mean_rank=1.25, rank_interval=(1.05, 2.45))
    assert rank_words(halves) == "1.3 [1.1, 2.5]"
    assert rank_words(replace(halves, rank_interval=None)) == "1.3"
    assert probability_words(0.125) == "13%" and rate_words(812.5) == "813" and rate_words(2.125) == "2.13"
    assert [seconds_words(seconds) for seconds in (2.25, 36.5, 150.0, 8100.0, None)] == [
        "2.3 s", "37 s", "3 min", "2.3 h", "–",
    ]  # fmt: skip
    assert [probability_words(p) for p in (None, 0.0, 0.004, 0.5, 0.996, 1.0)] == [
        "–", "0%", "<1%", "50%", ">99%", "100%",
    ]  # fmt: skip
    assert (compute_words(5400, "cpu"), compute_words(36000, "gpu"), compute_words(None, "gpu")) == (
        "90 min CPU", "10.0 h GPU", "–",
    )  # fmt: skip
    assert [rate_words(rate) for rate in (0.0, 0.567, 8.123, 812.4, 13400.2)] == [
        "0", "0.567", "8.12", "812", "13,400",
    ]  # fmt: skip


def test_the_baseline_is_always_among_the_first_rows(
    make_board_of: Callable[..., Board], tmp_path: Path
) -> None:
    board = make_board_of([f"{place}" for place in range(50)], 1, baseline="49")
    rows, words = layout.first_rows(board, 10)
    assert [row.name for row in rows] == [*map(str, range(10)), "49"]
    assert words == "39 rows of 50 left out here; scores.csv has all of them."
    assert layout.first_rows(board, None) == (board.rows, "")
