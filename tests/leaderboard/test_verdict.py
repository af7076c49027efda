"""The verdict says what the adjusted p values say, and no more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mmbench.leaderboard.board import Board, Cell
from mmbench.leaderboard.build import read_board
from mmbench.leaderboard.verdict import verdict
from mmbench.records.store import Result

Make = Callable[..., Result]
Write = Callable[..., Path]


def said(board: Board, cells: dict[object, Cell] | None = None) -> str:
    return verdict(board.rows, board.columns, cells or board.cells, board.baseline)  # type: ignore[arg-type]


def test_nothing_to_compare(record: Make, write: Write) -> None:
    root = write(record("moco"), record("random"))
    assert (
        read_board(root).verdict == "No baseline is named, so no difference is tested; --baseline names one."
    )
    assert read_board(root, "moco").verdict.startswith("No pretrained arm but moco is here")
    root = write(record("mscn", "knn/patterns@1"))
    assert "shares a column with mscn" in read_board(root, "mscn").verdict


def test_single_runs_cannot_be_tested(record: Make, write: Write) -> None:
    board = read_board(write(record("moco"), record("mscn"), record("erase")), "mscn")
    assert board.verdict == (
        "The data cannot tell: of 2 differences to mscn none can be tested; why: single runs without "
        "per-image outcomes (2)."
    )


def test_equal_runs_are_not_called_too_few(record: Make, write: Write) -> None:
    values = {"moco": 70.0, "mscn": 60.0}
    root = write(*(record(arm, seed=seed, value=value) for arm, value in values.items() for seed in range(5)))
    board = read_board(root, "mscn")
    assert board.verdict == (
        "The data cannot tell: of 1 difference to mscn none can be tested; why: runs do not differ by more "
        "than rounding (1)."
    )
    assert any("runs do not differ by more than rounding (1)" in note for note in board.footnotes)


def test_differences_within_chance_and_beyond(board_records: Path) -> None:
    board = read_board(board_records, "mscn")

    def changed(p: float, adjusted: Callable[[str, str], float]) -> dict[object, Cell]:
        return {
            (row, key): cell
            if cell.delta is None or row in ("random", "pixels")
            else replace(cell, delta=replace(cell.delta, p=p, adjusted_p=adjusted(row, key[0])))
            for (row, key), cell in board.cells.items()
        }

    chance = said(board, changed(0.03, lambda row, task: 0.5))
    assert chance == (
        "The data cannot tell any pretrained arm from mscn: no difference is beyond chance "
        "(18 differences of pretrained arms, Holm's correction; 18 would be without that correction)."
    )
    one = said(board, changed(0.001, lambda row, task: 0.01 if (row, task) == ("moco", "knn") else 0.4))
    assert one == (
        "Beyond chance against mscn: moco is better in kNN (18 differences of pretrained arms, "
        "Holm's correction)."
    )
    every = said(board, changed(0.001, lambda row, task: 0.01))
    assert every.startswith("Beyond chance against mscn: ") and "and 2 more" in every
    assert every.count(" is better in ") == 3


def test_what_stands_on_single_weights_is_said(record: Make, write: Write) -> None:
    """Six runs of one pretraining each: the difference is about these weights."""
    root = write(
        *(
            record(arm, "semisup/patterns-1pct@1", 0, value + 0.1 * draw, transfer_seed=draw)
            for arm, value in (("moco", 60.0), ("mscn", 40.0))
            for draw in range(6)
        )
    )
    board = read_board(root, "mscn")
    assert board.verdict.startswith("Beyond chance against mscn: moco is better in 1% labels")
    assert "all of it about these very weights" in board.verdict
