"""What renderers have in common: names are escaped, numbers read alike."""

from collections.abc import Callable
from pathlib import Path

from mmbench.leaderboard.board import Board
from mmbench.leaderboard.build import read_board
from mmbench.leaderboard.render.latex import render_latex
from mmbench.leaderboard.render.markdown import render_markdown
from mmbench.leaderboard.render.wording import signed
from mmbench.records.store import Result

NASTY = 'a_b & c% #1 {x} $y$ <i>"q"\\'


def test_names_are_escaped_everywhere(record: Callable[..., Result], write: Callable[..., Path]) -> None:
    root = write(record("moco", card_changes={"arm": "b&w<script>$x$_"}), record("mscn"))
    board = read_board(root, "mscn", title=NASTY)
    assert r"b\&w\textless{}script\textgreater{}\$x\$\_" in render_latex(board)
    assert r"b&amp;w&lt;script&gt;\$x\$\_" in render_markdown(board)


def test_a_difference_that_rounds_to_zero_has_no_minus(make_board_of: Callable[..., Board]) -> None:
    [column] = make_board_of(["a"], 1).columns
    assert [signed(value, column) for value in (-0.04, 0.04, -0.06, 3.14)] == ["+0.0", "+0.0", "−0.1", "+3.1"]
