"""Records written by earlier versions must stay readable: add files here, never change one."""

import json
from pathlib import Path

import pytest

from mmbench.leaderboard.build import read_board
from mmbench.records.store import read_result

RECORDS = Path(__file__).parent / "golden"


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*.json")), ids=lambda path: path.stem)
def test_an_old_record_reads_back_to_the_same_json(path: Path) -> None:
    result = read_result(path)
    assert result.schema_version == 1
    assert json.loads(result.model_dump_json()) == json.loads(path.read_text(encoding="utf-8"))


def test_old_records_make_a_board() -> None:
    board = read_board(RECORDS, "mscn")
    assert board.records == 3
    assert {row.arm for row in board.rows} == {"mscn", "mixmask", "pixels"}
    assert [column.protocol for column in board.columns] == [
        "knn/patterns@1",
        "linear/patterns@1",
        "detection/patterns@1",
    ]
    cell = board.cells["mixmask", ("detection", "patterns", "detection/patterns@1", "AP50")]
    assert (cell.summary.mean, cell.summary.std, cell.summary.runs) == (39.5, None, 1)
