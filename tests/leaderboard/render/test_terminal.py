"""The terminal at any width: nothing is wider, nothing is lost, what is left out is counted."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from mmbench.leaderboard.board import Board
from mmbench.leaderboard.build import read_board
from mmbench.leaderboard.render.terminal import print_board


def printed(board: Board, width: int, limit: int | None = 40) -> list[str]:
    stream = io.StringIO()
    print_board(board, Console(file=stream, width=width), limit=limit)
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_scores_deltas_and_caveats_at_any_width(board_records: Path, width: int) -> None:
    board = read_board(board_records, "mscn")
    lines = printed(board, width)
    assert max(map(len, lines)) <= width
    text, joined = "\n".join(lines), " ".join(" ".join(lines).split())
    for words in ("mixmask", "37.13", "± 1.07", "+4.0", "n=1", "–"):
        assert words in text, words
    assert "Equal epochs, unequal time" in joined and board.verdict in joined
    assert "+4.0 [" in text or width < 200


@pytest.mark.parametrize("width", [30, 60, 100])
def test_many_columns_and_any_names_fit_in_several_tables(
    make_board_of: Callable[..., Board], hostile_names: tuple[str, ...], width: int
) -> None:
    names = [*hostile_names, "plain"]
    board = make_board_of(names, 40, baseline="plain", labels=("a heading of many words", "Wort" * 12))
    lines = printed(board, width)
    assert max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    numbers = map(int, re.findall(r"Probe (\d+)", text))
    if width == 100:
        assert sorted(set(numbers)) == list(range(2, 40))
    assert text.count("plain") >= text.count("┡")  # in each of the tables
    assert "\x1b" not in text


def test_of_many_rows_the_first_are_shown_and_the_others_counted(make_board_of: Callable[..., Board]) -> None:
    names = [f"arm-{place:03}" for place in range(834)]
    board = make_board_of(names, 2, baseline="arm-700")
    text = "\n".join(printed(board, 100))
    assert "arm-039" in text and "arm-040" not in text and "arm-700" in text
    assert "793 rows of 834 left out here; scores.csv has all of them." in text
    assert "arm-099" in "\n".join(printed(board, 100, 100))
