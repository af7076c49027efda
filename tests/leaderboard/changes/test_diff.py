"""Differences between boards: every kind of change, whether it is beyond chance, and exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from mmbench.errors import UserError
from mmbench.leaderboard.board import Board
from mmbench.leaderboard.changes.compare import Changes, compare
from mmbench.leaderboard.changes.snapshot import _snapshot, read_snapshot
from mmbench.leaderboard.command import leaderboard
from mmbench.leaderboard.records.load import frame_of
from mmbench.leaderboard.render.board_json import board_json
from mmbench.leaderboard.statistics.differences import holm
from mmbench.leaderboard.table import make_board
from mmbench.records.store import Metric, Result, ResultStore

Make = Callable[..., Result]
KNN = "knn/patterns@1"
NOISE = (0.0, 0.4, -0.3)


def board_of(*results: Result, baseline: str | None = "mscn") -> Board:
    return make_board(frame_of((str(place), result) for place, result in enumerate(results)), baseline)


def changes(old: Board, new: Board) -> Changes:
    boards = [json.loads(board_json(board, ())) for board in (old, new)]
    return compare(*(_snapshot(board, "board") for board in boards))


def runs(record: Make, arm: str, value: float, first: int = 0) -> list[Result]:
    return [
        record(arm, KNN, first + place, value + noise, wall_seconds=value + place)
        for place, noise in enumerate(NOISE)
    ]


def test_equal_records_have_no_changes(record: Make) -> None:
    results = [*runs(record, "moco", 70), *runs(record, "mscn", 60)]
    assert not changes(board_of(*results), board_of(*results))


def test_a_change_is_beyond_chance_or_within_noise(record: Make) -> None:
    others = runs(record, "mscn", 60)
    old = board_of(*runs(record, "moco", 70), *others)
    far = changes(old, board_of(*runs(record, "moco", 75), *others))
    [cell] = far.cells
    assert cell.beyond_chance and (cell.added, cell.removed, cell.n) == (3, 3, (3, 3))
    assert (cell.difference, cell.after - cell.before) == (pytest.approx(5), pytest.approx(5))
    near = changes(old, board_of(*runs(record, "moco", 70.1), *others))
    [cell] = near.cells
    assert cell.beyond_chance is False and not near.conclusions


def test_other_digests_of_the_same_weights_change_no_cell(record: Make) -> None:
    """Older records know weights by their file; files of the same tensors may differ."""
    results = [*runs(record, "moco", 70), *runs(record, "mscn", 60)]
    again = [run.model_copy(update={"weights_sha256": f"{place:064x}"}) for place, run in enumerate(results)]
    found = changes(board_of(*results), board_of(*again))
    assert not found.cells and not found.conclusions
    assert [fact for fact in found.facts if fact.startswith("weights: ")] == [
        "weights: 6 runs in 2 cells with other digests of their weights, but equal seeds, labels and values"
    ]
    again[0] = again[0].model_copy(update={"seed": 8})
    [cell] = changes(board_of(*results), board_of(*again)).cells
    assert (cell.row, cell.added, cell.removed) == ("moco", 3, 3)


def test_added_runs_are_compared_with_those_that_were_there(record: Make) -> None:
    others = runs(record, "mscn", 60)
    first = runs(record, "moco", 70)
    [cell] = changes(board_of(*first, *others), board_of(*first, *runs(record, "moco", 75, 3), *others)).cells
    assert cell.difference == pytest.approx(5) and cell.after - cell.before == pytest.approx(2.5)
    assert "against those that were there" in cell.basis and cell.beyond_chance
    single = record("moco", KNN, 9, 75.0)
    [cell] = changes(board_of(*first, *others), board_of(*first, single, *others)).cells
    assert cell.beyond_chance is None and cell.reason == "a single run against several"


def test_runs_without_a_spread_are_not_called_too_few(record: Make, tmp_path: Path) -> None:
    folders = []
    for name, value in (("a", 70.0), ("b", 75.0)):
        store = ResultStore(tmp_path / name)
        for seed in range(3):
            store.write(record("moco", KNN, seed, value))
        folders.append(str(store.root))
    said = CliRunner().invoke(leaderboard, ["diff", *folders]).output
    assert "cannot be judged (runs do not differ by more than rounding)" in said


def test_p_values_are_adjusted_over_the_changed_cells(record: Make) -> None:
    arms = ("moco", "erase", "mscn")
    old = [run for arm in arms for run in runs(record, arm, 60)]
    new = [run for place, arm in enumerate(arms) for run in runs(record, arm, 61.5 + place)]
    together = {cell.row: cell.p for cell in changes(board_of(*old), board_of(*new)).cells}
    alone = {}
    for arm in arms:
        kept = [run for run in old if run.model.arm != arm]
        [cell] = changes(board_of(*old), board_of(*kept, *(run for run in new if run.model.arm == arm))).cells
        alone[arm] = cell.p
    assert [together[arm] for arm in arms] == pytest.approx(holm([alone[arm] or 0 for arm in arms]))


def test_rows_columns_settings_and_conclusions(record: Make) -> None:
    mscn = runs(record, "mscn", 60)
    old = board_of(*runs(record, "moco", 60.2), *mscn)
    extra = [record(arm, "linear/patterns@1", value=value) for arm, value in (("moco", 70), ("mscn", 60))]
    new = board_of(*runs(record, "moco", 75), *mscn, *runs(record, "erase", 80), *extra)
    found = changes(old, new)
    assert "row erase: new" in found.facts and any("linear/patterns@1" in fact for fact in found.facts)
    assert any(
        "moco in knn/patterns@1 on patterns, top1: not distinguishable -> better" in line
        for line in found.conclusions
    )
    back = changes(new, old)
    assert "row erase: gone" in back.facts
    other = [run.model_copy(update={"config": {"neighbours": 5, "temperature": 0.1}}) for run in mscn]
    assert (
        "column knn/patterns@1 on patterns, top1: neighbours: 20 -> 5"
        in changes(board_of(*mscn), board_of(*other)).facts
    )


def test_the_command_reads_boards_and_records(record: Make, tmp_path: Path) -> None:
    roots = []
    for name, value in (("a", 70), ("b", 75)):
        store = ResultStore(tmp_path / name)
        for result in (*runs(record, "moco", value), *runs(record, "mscn", 60)):
            store.write(result)
        roots.append(str(store.root))
    index = tmp_path / "board.json"
    index.write_text(board_json(board_of(*runs(record, "moco", 70), *runs(record, "mscn", 60)), ()))

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(leaderboard, ["diff", *arguments])
        return done.exit_code, done.output

    assert run(roots[0], roots[0]) == (0, "equal: rows, columns, runs, numbers, settings and versions\n")
    code, said = run(*roots, "--baseline", "mscn")
    assert code == 1 and "70.03 -> 75.03 (n 3 -> 3, 3 added, 3 removed): beyond chance" in said
    assert run(str(index), roots[0], "--baseline", "mscn")[0] == 0
    for bad in ("[]", "{}", "{", '{"columns": [{}], "rows": [], "cells": []}'):
        index.write_text(bad)
        with pytest.raises(UserError, match=r"board\.json"):
            read_snapshot(index)
    with pytest.raises(UserError, match="name a board's folder"):
        read_snapshot(tmp_path / "none")


def test_the_command_writes_small_losses_in_the_decimals_that_tell_them_apart(
    record: Make, tmp_path: Path
) -> None:
    """A change beyond chance is not printed as one from zero to zero."""
    roots = []
    for name, value in (("a", 0.0041), ("b", 0.0044)):
        store = ResultStore(tmp_path / name)
        for arm, own in (("moco", value), ("mscn", 0.0031)):
            for seed in range(3):
                loss = Metric(value=own + seed * 1e-6, higher_is_better=False, n=2000, unit="nats")
                store.write(record(arm, seed=seed, metrics={"loss": loss}, primary_metric="loss"))
        roots.append(str(store.root))
    done = CliRunner().invoke(leaderboard, ["diff", *roots, "--baseline", "mscn"])
    [line] = [line for line in done.output.splitlines() if "n 3 -> 3" in line]
    assert "loss: 0.0041 -> 0.0044 (" in line and "beyond chance" in line
    assert "+0.0003 [+0.0003, +0.0003]" in line
    assert "0.00 " not in done.output and "+0.00 " not in done.output
