"""CSV, Parquet and JSON: full precision, typed, secondary metrics, and no formula from a name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbench.leaderboard.board import Board
from mmbench.leaderboard.build import build, read_board
from mmbench.leaderboard.records.load import load_frame
from mmbench.leaderboard.render.board_json import board_json
from mmbench.leaderboard.render.csv_files import FORMULA, QUOTE, csv_text
from mmbench.leaderboard.render.data_tables import UNITS, runs_table, scores_table
from mmbench.leaderboard.render.parquet import parquet_bytes
from mmbench.records.store import Result, ResultStore

SHOWN = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))


def test_scores_hold_every_metric_in_full_precision(board_records: Path, tmp_path: Path) -> None:
    board = build(board_records, tmp_path / "board", "mscn", published=False)
    scores = pd.read_csv(tmp_path / "board" / "scores.csv")
    typed = pd.read_parquet(tmp_path / "board" / "scores.parquet")
    pd.testing.assert_frame_equal(scores, pd.read_csv(io.StringIO(csv_text(typed))), check_exact=True)
    assert set(scores[~scores["primary"]]["metric"]) == {"top5", "AP", "AP75", "aAcc"}
    assert scores[~scores["primary"]][["rank", "best", "adjusted_p"]].isna().all(axis=None)
    values: dict[tuple[str, str, str], dict[int | None, list[float]]] = {}
    for result in ResultStore(board_records):
        for metric, found in result.metrics.items():
            place = values.setdefault((result.model.arm, result.protocol, metric), {})
            place.setdefault(result.model.seed, []).append(found.value)
    assert len(scores) == len(values)
    for line in scores.to_dict("records"):
        groups = list(values[line["row"], line["protocol"], line["metric"]].values())
        flat = [value for group in groups for value in group]
        assert line["mean"] == pytest.approx(np.mean([np.mean(group) for group in groups]), abs=1e-12)
        assert (line["runs"], line["pretrainings"]) == (len(flat), len(groups))
        assert line["std"] == pytest.approx(np.std(flat, ddof=1)) if len(flat) > 1 else np.isnan(line["std"])
    for column in board.columns:
        for row in board.rows:
            cell = board.cell(row, column)
            keys = (scores["row"] == row.name) & (scores["protocol"] == column.protocol) & scores["primary"]
            if cell is None:
                assert not keys.any()
                continue
            [line] = scores[keys].to_dict("records")
            assert (line["mean"], line["rank"], line["best"]) == (cell.summary.mean, cell.rank, cell.best)
            if cell.delta is not None and cell.delta.interval is not None:
                assert (line["delta"], line["delta_low"]) == (cell.delta.value, cell.delta.interval.low)
                assert (line["p"], line["adjusted_p"]) == (cell.delta.p, cell.delta.adjusted_p)


def test_runs_hold_every_record_typed_with_units_and_no_path_of_this_machine(board_records: Path) -> None:
    frame = load_frame(board_records)
    table = runs_table(frame)
    assert table["file"].nunique() == 82 and len(table) == len(frame)
    assert str(board_records) not in csv_text(table)
    content = parquet_bytes(table, UNITS)
    assert content == parquet_bytes(runs_table(load_frame(board_records)), UNITS)
    schema = pq.read_schema(io.BytesIO(content))
    assert "null" not in {str(field.type) for field in schema}  # also where no record states a fact
    assert {str(schema.field(name).type) for name in ("compute", "pretrain_compute", "value")} == {"double"}
    assert schema.field("wall_seconds").metadata == {b"unit": b"seconds of wall time"}
    assert str(schema.field("pretraining_seed").type) == "int64"


def test_long_seeds_stay_exact(record: Callable[..., Result], write: Callable[..., Path]) -> None:
    seed = 2**53 + 1
    table = runs_table(load_frame(write(record("moco", card_changes={"seed": seed}), record("pixels"))))
    assert f",{seed}," in csv_text(table)
    read = pd.read_parquet(io.BytesIO(parquet_bytes(table, UNITS)))
    assert seed in read["pretraining_seed"].tolist()


@given(st.lists(st.text(SHOWN, max_size=40), min_size=1, max_size=5), st.floats(allow_nan=False))
def test_no_text_is_a_formula_and_all_of_it_reads_back(texts: list[str], number: float) -> None:
    written = csv_text(pd.DataFrame({"name": texts, "value": [number] * len(texts)}))
    lines = list(csv.DictReader(io.StringIO(written)))
    for line, text in zip(lines, texts, strict=True):
        assert float(line["value"]) == number
        name = line["name"]
        assert not name.startswith(FORMULA) or float(name) == float(text)
        assert (name.removeprefix(QUOTE) if name != text else name) == text


@pytest.mark.parametrize("name", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "'quoted", "＝1"])
def test_formulas_are_neutralised(name: str) -> None:
    assert list(csv.reader(io.StringIO(csv_text(pd.DataFrame({"name": [name]}))))) == [["name"], [f"'{name}"]]


@pytest.mark.parametrize("name", ["x;=1+1", "x\t=1+1", 'x;"=1+1"', "x;y,=1+1"])
def test_a_row_stays_whole_where_a_program_separates_at_semicolons_or_tabs(name: str) -> None:
    """As spreadsheet programs do in locales with decimal commas; a part may not become a cell of its own."""
    table = pd.DataFrame({"row": [name, "plain"], "value": [0.1 + 0.2, 1.0]})
    written = csv_text(table)
    pd.testing.assert_frame_equal(pd.read_csv(io.StringIO(written)), table, check_exact=True)
    assert "\nplain,1.0\n" in written
    for separator in ";\t":
        cells = [cell for line in csv.reader(io.StringIO(written), delimiter=separator) for cell in line]
        assert len(cells) == 3 and not any(cell.startswith(FORMULA) for cell in cells)


@pytest.mark.parametrize("number", ["-0.5", "+3", "1e-5", "-2E+3", "67.6"])
def test_numbers_that_are_held_as_text_stay(number: str) -> None:
    assert csv_text(pd.DataFrame({"value": [number]})) == f"value\n{number}\n"


def test_json_is_the_board(board_records: Path) -> None:
    board = read_board(board_records, "mscn")
    text = board_json(board, ["board.json", "a.csv"])
    data = json.loads(text, parse_constant=pytest.fail)
    assert data["files"] == ["a.csv", "board.json"] and data["verdict"] == board.verdict
    assert [row["name"] for row in data["rows"]] == [row.name for row in board.rows]
    cells = {(cell["row"], cell["column"]): cell for cell in data["cells"]}
    assert len(cells) == len(board.cells)
    for column in board.columns:
        for row in board.rows:
            if (cell := board.cell(row, column)) is not None:
                found = cells[row.name, column.name]
                assert found["summary"]["mean"] == cell.summary.mean
                assert [run["record"] for run in found["runs"]] == [run.record for run in cell.runs]
                others = board.secondary.get((row.name, column.key), ())
                assert [entry["metric"] for entry in found["secondary"]] == [other.metric for other in others]


def test_names_of_any_kind_read_back_from_parquet_and_json(
    make_board_of: Callable[..., Board], hostile_names: tuple[str, ...]
) -> None:
    board = make_board_of(hostile_names, 6, baseline=hostile_names[0])
    read = pd.read_parquet(io.BytesIO(parquet_bytes(scores_table(board), UNITS)))
    assert list(dict.fromkeys(read["row"])) == list(hostile_names)
    data = json.loads(board_json(board, ()))
    assert [row["name"] for row in data["rows"]] == list(hostile_names)
    pairs = data["overall"]["critical_difference"]
    assert {tuple(entry["of"]): entry["value"] for entry in pairs} == board.overall.critical_difference  # type: ignore[union-attr]


def test_files_beside_a_record_belong_to_it(
    record: Callable[..., Result], write: Callable[..., Path]
) -> None:
    root = write(record("moco"), record("moco", seed=1), record("erase", card_changes={"arm": "moco.v2"}))
    paths = {result.model.arm + str(result.seed): path for path, result in ResultStore(root).items()}
    names = [
        f"{paths[key].stem}.{ending}"
        for key in ("moco0", "moco.v20")
        for ending in ("confusion.png", "images.parquet")
    ]
    for name in [*names, f".{names[0]}", "else.png"]:
        (paths["moco0"].parent / name).write_bytes(b"")
    board = read_board(root)
    found = {
        (row, run.transfer_seed): run.files for (row, _), cell in board.cells.items() for run in cell.runs
    }
    folder = paths["moco0"].parent.relative_to(root).as_posix()
    assert found["moco", 0] == tuple(f"{folder}/{name}" for name in names[:2])
    assert found["moco.v2", 0] == tuple(f"{folder}/{name}" for name in names[2:])
    assert found["moco", 1] == ()
