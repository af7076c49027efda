"""Every renderer says the same, well-formed, and escapes what it is given."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from mmbench.leaderboard.board import Board
from mmbench.leaderboard.build import build, read_board
from mmbench.leaderboard.render.latex import render_latex
from mmbench.leaderboard.render.markdown import render_deltas, render_markdown, render_scores
from mmbench.leaderboard.render.terminal import print_board
from mmbench.leaderboard.render.wording import signed
from mmbench.results import Result

NASTY = 'a_b & c% #1 {x} $y$ <i>"q"\\'


@pytest.fixture(scope="module")
def board(board_records: Path) -> Board:
    return read_board(board_records, "mscn")


def test_names_are_escaped_everywhere(record: Callable[..., Result], write: Callable[..., Path]) -> None:
    root = write(record("moco", card_changes={"arm": "b&w<script>$x$_"}), record("mscn"))
    board = read_board(root, "mscn", title=NASTY)
    assert r"b\&w\textless{}script\textgreater{}\$x\$\_" in render_latex(board)
    assert r"b&w\<script\>$x$\_" in render_markdown(board)


def test_markdown_tables_are_rectangular_and_say_the_numbers(board: Board) -> None:
    for table in (render_scores(board), render_deltas(board)):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    scores = render_scores(board)
    assert "| **37.13** ± 1.07 (n=6, 2 seeds) |" in scores
    assert "| pixels (control) | 6.0 | 38.00 (n=1) | 27.30 (n=1) | – | – | – | – |" in scores
    assert "mscn" not in render_deltas(board)
    document = render_markdown(board)
    assert document.index("MixMask") > document.index("## Published elsewhere, not measured here")


def test_the_terminal_shows_scores_deltas_and_caveats_at_any_width(board: Board) -> None:
    for width in (80, 120, 200):
        stream = io.StringIO()
        print_board(board, Console(file=stream, width=width))
        text = stream.getvalue()
        assert max(map(len, text.splitlines())) <= width
        spread = "37.13 ± 1.07" if width > 80 else "± 1.07"
        for words in ("mixmask", "37.13", spread, "+4.0", "n=1", "–", "Equal epochs, unequal time"):
            assert words in text, (width, words)
        assert ("[+1.8, +6.2]" in text) == (width == 200)


def test_csv_has_full_precision_and_secondary_metrics(board_records: Path, tmp_path: Path) -> None:
    board = build(board_records, tmp_path / "board", "mscn")
    scores = pd.read_csv(tmp_path / "board" / "scores.csv")
    assert set(scores["kind"]) == {"measured"}
    assert set(scores[~scores["primary"]]["metric"]) == {"top5", "AP", "AP75", "aAcc"}
    assert scores[~scores["primary"]]["rank"].isna().all()
    for column in board.columns:
        for row in board.rows:
            line = scores[
                (scores["arm"] == row.arm) & (scores["protocol"] == column.protocol) & scores["primary"]
            ]
            cell = board.cell(row, column)
            if cell is None:
                assert line.empty
                continue
            assert line["mean"].item() == cell.summary.mean
            assert line["rank"].item() == cell.rank
            if cell.delta is not None and cell.delta.interval is not None:
                assert line["delta"].item() == cell.delta.value
                assert line["ci95_low"].item() == cell.delta.interval.low
    runs = pd.read_csv(tmp_path / "board" / "runs.csv")
    assert runs["file"].nunique() == board.records == 82


def test_a_difference_that_rounds_to_zero_has_no_minus(board: Board) -> None:
    column = board.columns[0]
    assert [signed(value, column) for value in (-0.04, 0.04, -0.06, 3.14)] == ["+0.0", "+0.0", "−0.1", "+3.1"]
