"""Frame to Board: ranks, deltas, order, footnotes."""

import datetime
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from mmbench.compute_time import ComputeTime
from mmbench.leaderboard import cells
from mmbench.leaderboard.board import Board
from mmbench.leaderboard.build import read_board, read_frame
from mmbench.leaderboard.records.dates import in_utc
from mmbench.leaderboard.records.load import frame_of
from mmbench.leaderboard.table import differences_of_pairs, make_board
from mmbench.records.store import Metric, Result, ResultStore

Make = Callable[..., Result]
Write = Callable[..., Path]


def test_cells_against_plain_loops_over_the_records(board_records: Path) -> None:
    board = read_board(board_records, "mscn")
    assert len(board.rows) == 6 and len(board.columns) == 6
    for column in board.columns:
        means = {}
        for row in board.rows:
            by_seed: dict[int | None, list[float]] = {}
            for result in ResultStore(board_records):
                if result.protocol == column.protocol and result.model.arm == row.arm:
                    value = result.metrics[result.primary_metric].value
                    by_seed.setdefault(result.model.seed, []).append(value)
            cell = board.cell(row, column)
            if not by_seed:
                assert cell is None
                continue
            assert cell is not None
            flat = [value for group in by_seed.values() for value in group]
            means[row.arm] = sum(sum(group) / len(group) for group in by_seed.values()) / len(by_seed)
            assert cell.summary.mean == pytest.approx(means[row.arm])
            assert (cell.summary.runs, cell.summary.pretrainings) == (len(flat), len(by_seed))
            assert sorted(run.value for run in cell.runs) == sorted(flat)
            if len(flat) > 1:
                deviation = np.sqrt(sum((v - np.mean(flat)) ** 2 for v in flat) / (len(flat) - 1))
                assert cell.summary.std == pytest.approx(float(deviation))
            else:
                assert cell.summary.std is None
        for row in board.rows:
            if (cell := board.cell(row, column)) is None:
                continue
            assert cell.rank == 1 + sum(mean > means[row.arm] for mean in means.values())
            assert not cell.best or cell.summary.runs > 1
            if means[row.arm] == max(means.values()):
                assert cell.best
            if row.arm == "mscn":
                assert cell.delta is None
            else:
                assert cell.delta is not None
                assert cell.delta.value == pytest.approx(means[row.arm] - means["mscn"])
                assert cell.delta.better == (means[row.arm] > means["mscn"])


def test_equal_numbers_of_right_images_are_equal_everywhere(record: Make, write: Write) -> None:
    """As many right images in total, split otherwise over seeds, give means that differ in the last bit."""
    splits = {"moco": (1421, 1418, 1424), "mscn": (1418, 1424, 1421), "mixmask": (1418, 1421, 1424)}
    root = write(
        *(
            record(arm, seed=seed, value=100 * right / 2000)
            for arm, split in splits.items()
            for seed, right in enumerate(split)
        )
    )
    assert len({np.mean([100 * right / 2000 for right in split]) for split in splits.values()}) == 2
    board = read_board(root, "moco")
    assert [row.name for row in board.rows] == ["mixmask", "moco", "mscn"]
    assert {cell.summary.mean for cell in board.cells.values()} == {71.05}
    assert {cell.rank for cell in board.cells.values()} == {2.0} == {row.mean_rank for row in board.rows}
    deltas = [cell.delta for cell in board.cells.values() if cell.delta is not None]
    assert [(delta.value, delta.better) for delta in deltas] == [(0.0, None)] * 2
    assert board.overall is None


def test_differences_to_each_row_are_those_of_a_board_with_it_as_baseline(
    board_records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = read_frame(board_records)
    board = make_board(frame, "mscn")
    others = differences_of_pairs(frame, board)
    assert set(others) == {row.name for row in board.rows}
    for baseline, deltas in others.items():
        expected = {
            key: cell.delta
            for key, cell in make_board(frame, baseline).cells.items()
            if cell.delta is not None
        }
        assert deltas.keys() == expected.keys() and len(deltas) >= 10
        for key, delta in deltas.items():
            facts = (delta.better, delta.method, delta.paired)
            assert facts == (expected[key].better, expected[key].method, expected[key].paired)
            numbers, wanted = ([d.value, d.p, d.adjusted_p] for d in (delta, expected[key]))
            assert numbers == pytest.approx(wanted)
            ends, wanted_ends = (
                None if d.interval is None else (d.interval.low, d.interval.high)
                for d in (delta, expected[key])
            )
            assert ends == pytest.approx(wanted_ends)
    monkeypatch.setattr(cells, "MOST_COMPARED", 5)
    assert differences_of_pairs(frame, board) == {}


def test_rows_stand_by_mean_rank_and_incomplete_ones_below(board_records: Path) -> None:
    board = read_board(board_records)
    complete = [row for row in board.rows if row.complete]
    assert [row.arm for row in board.rows][-1] == "pixels" and len(complete) == 5
    assert [row.mean_rank for row in complete] == sorted(row.mean_rank for row in complete)
    assert board.rows[-1].mean_rank is None
    for row in complete:
        places = []
        for column in board.columns:
            means = {r.name: cell.summary.mean for r in complete if (cell := board.cell(r, column))}
            places.append(1 + sum(mean > means[row.name] for mean in means.values()))
        assert row.mean_rank == pytest.approx(sum(places) / len(places))


def test_one_stray_record_does_not_turn_the_board(record: Make, write: Write) -> None:
    """Only columns that most pretrained rows have are ranked over, so a third column of one row is not."""
    root = write(
        *(record(arm, value=value) for arm, value in (("moco", 50.0), ("mscn", 51.0), ("erase", 60.0))),
        *(record(arm, "knn/patterns@1", value=50.0) for arm in ("moco", "mscn")),
        record("moco", "semisup/patterns-10pct@1", value=99.0),
    )
    board = read_board(root)
    assert [(row.name, row.mean_rank) for row in board.rows] == [
        ("mscn", 1.25),
        ("moco", 1.75),
        ("erase", None),
    ]
    assert {key[0] for key in board.ranking.columns} == {"knn", "linear"}
    assert any(board.ranking.words in note and "erase" in note for note in board.footnotes)


def test_lower_is_better_turns_ranks_and_favour_but_not_the_sign(record: Make, write: Write) -> None:
    def loss(value: float) -> dict[str, Metric]:
        return {"nll": Metric(value=value, higher_is_better=False, n=100, unit="nats")}

    root = write(
        record("moco", metrics=loss(1.5), primary_metric="nll"),
        record("mscn", metrics=loss(2.0), primary_metric="nll"),
    )
    board = read_board(root, "mscn")
    [column] = board.columns
    cell = board.cell(board.rows[0], column)
    assert board.rows[0].arm == "moco" and cell is not None and cell.rank == 1
    assert cell.delta is not None and cell.delta.value == -0.5 and cell.delta.better is True


def test_equal_means_share_a_rank(record: Make, write: Write) -> None:
    root = write(*(record(arm, value=50.0) for arm in ("moco", "mscn", "erase")))
    board = read_board(root, "moco")
    assert {cell.rank for cell in board.cells.values()} == {2.0}
    assert not any(cell.best for cell in board.cells.values())  # single runs
    deltas = [cell.delta for cell in board.cells.values() if cell.delta is not None]
    assert [delta.better for delta in deltas] == [None, None]


def test_equal_protocols_of_two_tasks_are_two_columns(record: Make, write: Write) -> None:
    """So are data sets and metrics whose names give the same text when they are joined."""
    one = record("moco", value=70.0)
    other = one.model_copy(update={"task": "finetune", "metrics": {"top1": metric_of(10.0)}})
    first, second = (
        one.model_copy(
            update={
                "dataset": one.dataset.model_copy(update={"name": name}),
                "metrics": {metric: metric_of(value)},
                "primary_metric": metric,
            }
        )
        for name, metric, value in (("cifar10-x", "top1", 30.0), ("cifar10", "x-top1", 40.0))
    )
    pairs = ((str(number), result) for number, result in enumerate((one, other, first, second)))
    board = make_board(frame_of(pairs), None)
    found = {column.key: board.cells["moco", column.key].summary.mean for column in board.columns}
    assert found == {
        ("linear", "patterns", "linear/patterns@1", "top1"): 70.0,
        ("finetune", "patterns", "linear/patterns@1", "top1"): 10.0,
        ("linear", "cifar10-x", "linear/patterns@1", "top1"): 30.0,
        ("linear", "cifar10", "linear/patterns@1", "x-top1"): 40.0,
    }
    assert len({column.name for column in board.columns}) == 4


def metric_of(value: float) -> Metric:
    return Metric(value=value, higher_is_better=True, n=10)


def test_the_baseline_missing_from_a_column_leaves_no_delta_there(record: Make, write: Write) -> None:
    root = write(record("moco"), record("moco", "knn/patterns@1"), record("mscn"))
    board = read_board(root, "mscn")
    found = {column.task: board.cells["moco", column.key].delta is not None for column in board.columns}
    assert found == {"knn": False, "linear": True}


def test_footnotes_tell_cost_single_runs_intervals_and_filters(board_records: Path) -> None:
    notes = read_board(board_records, "mscn").footnotes
    assert notes[0].startswith(
        "Equal epochs, unequal time: every pretrained arm had 8 epochs, "
        "which took 37 s (moco) to 64 s (mixmask)"
    )
    assert any(note.startswith("2 of 32 cells hold a single run (n=1)") for note in notes)
    assert any(note.startswith("Of 18 differences of pretrained arms to mscn") for note in notes)
    assert any("mscn (kernel 3, sigma 0.7)" in note and "moco" not in note for note in notes)
    assert any(note.endswith("hence below the others: pixels.") for note in notes)


def test_equal_times_are_not_warned_of_and_unequal_epochs_are(record: Make, write: Write) -> None:
    same = {"pretrain_seconds": 30.0}
    equal = write(record("moco", card_changes=same), record("mscn", card_changes=same))
    assert not any("epochs" in note for note in read_board(equal).footnotes)
    unequal = write(record("erase", card_changes={**same, "epochs": 16}))
    assert "different numbers of pretraining epochs" in read_board(unequal).footnotes[0]


def test_unknown_epochs_are_called_unknown(record: Make, write: Write) -> None:
    same: dict[str, object] = {"pretrain_seconds": 30.0, "epochs": None}
    root = write(record("moco", card_changes=same), record("mscn", card_changes=same))
    assert read_board(root).footnotes[0] == (
        "The pretraining epochs of the arms are unknown: ranks may mix method and budget."
    )
    slow = write(record("erase", card_changes={**same, "pretrain_seconds": 60.0}))
    assert read_board(slow).footnotes[0] == (
        "The pretraining epochs of the arms are unknown, and their pretraining took 30 s (moco) to 60 s "
        "(erase) of wall time, a factor of 2.0: ranks mix method and budget."
    )
    known = write(record("mixmask", card_changes={**same, "epochs": 9}))
    assert "of some arms are unknown (" in read_board(known).footnotes[0]
    assert not any("None" in note for note in read_board(known).footnotes)


def test_a_cost_is_stated_by_any_record_of_the_same_weights(record: Make) -> None:
    """Seed 0 is first measured from an exported file without its cost; of the third weights none is known."""

    def of(seed: int, protocol: str, seconds: float | None, gpu: float | None) -> Result:
        compute = None if gpu is None else ComputeTime(kind="gpu", seconds=gpu)
        costs = {"pretrain_seconds": seconds, "pretrain_compute": compute}
        return record("moco", protocol, seed, 70.0 + seed, card_changes=costs)

    knn, linear = "knn/patterns@1", "linear/patterns@1"
    known = [of(0, knn, None, None), of(0, linear, 3600.0, 900.0)]
    known += [of(1, knn, 36.0, None), of(1, linear, None, 9.0)]

    def board(*records: Result) -> Board:
        return make_board(frame_of((f"{place}", entry) for place, entry in enumerate(records)))

    for order in permutations(known):
        [row] = board(*order).rows
        assert row.pretrain_seconds == (3600 + 36) / 2
        assert (row.pretrain_compute, row.compute_kind) == ((900 + 9) / 2, "gpu")
    assert not any("of one pretraining is the mean" in note for note in board(*known).footnotes)
    partly = board(*known, of(2, knn, None, None), of(2, linear, None, 30.0))
    [row] = partly.rows
    assert row.pretrain_seconds == 1818 and row.pretrain_compute == (900 + 9 + 30) / 3
    assert [note for note in partly.footnotes if "of one pretraining is the mean" in note] == [
        "The wall time of one pretraining is the mean of those of which a record states it: moco (of 2 of 3)."
    ]
    without = board(*known, of(2, knn, None, None), record("random"), record("random", seed=1))
    assert [note for note in without.footnotes if "of one pretraining is the mean" in note] == [
        f"The {kind} time of one pretraining is the mean of those of which a record states it: "
        "moco (of 2 of 3)."
        for kind in ("wall", "computing")
    ]


def test_the_date_of_a_board_is_that_of_its_newest_record_in_utc(record: Make, write: Write) -> None:
    root = write(
        record("moco", created="2026-07-02T01:00:00Z"), record("mscn", created="2026-07-02T20:00:00-07:00")
    )
    board = read_board(root)
    assert board.created == "2026-07-03"
    assert {run.created for cell in board.cells.values() for run in cell.runs} == {
        "2026-07-02T01:00:00+00:00",
        "2026-07-03T03:00:00+00:00",
    }
    for text in ("0001-01-01T00:00:00+09:00", "9999-12-31T23:00:00-09:00"):  # UTC has no such year
        assert in_utc(datetime.datetime.fromisoformat(text)).startswith(text[:19])


def test_uncommitted_changes_and_two_machines_are_told(record: Make, write: Write) -> None:
    clean = record("moco")
    dirty = clean.provenance.model_copy(update={"git_dirty": True, "device": "NVIDIA H200"})
    board = read_board(write(clean, record("moco", seed=1), record("mscn", provenance=dirty)))
    assert "1 of 3 records come from a checkout with uncommitted changes." in board.footnotes
    assert dict(board.environment)["device"] == ("cpu (2 of 3 records)", "NVIDIA H200 (1 of 3 records)")
