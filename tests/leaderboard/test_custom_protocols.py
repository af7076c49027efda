"""Runs whose protocol was changed by the library's own keys stand in a column of their own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from mmbench.errors import UserError
from mmbench.leaderboard.build import build, read_board
from mmbench.records.store import Result

Make = Callable[..., Result]
Write = Callable[..., Path]

PLAIN, CUSTOM = "detection/patterns@1", "detection/patterns@1+custom"


def test_a_custom_run_is_a_column_of_its_own(record: Make, write: Write, tmp_path: Path) -> None:
    config = {"iterations": 300, "library": {"MODEL.RPN.NMS_THRESH": 0.6}}
    root = write(
        *(record(arm, PLAIN) for arm in ("moco", "mscn")),
        *(record(arm, CUSTOM, value=90.0, config=config) for arm in ("moco", "mscn")),
    )
    board = read_board(root)
    assert [(column.protocol, column.label) for column in board.columns] == [
        (PLAIN, f"Detection, patterns, {PLAIN}"),
        (CUSTOM, f"Detection, patterns, {CUSTOM}"),
    ]
    assert [cell.summary.mean for cell in board.cells.values()].count(90.0) == 2
    names = [column.name for column in board.columns]
    assert len(set(names)) == 2 and all("+" not in name for name in names)
    build(root, tmp_path / "board")
    assert CUSTOM in (tmp_path / "board" / "leaderboard.md").read_text(encoding="utf-8")


def test_custom_runs_of_other_versions_are_not_versions_of_the_protocol(record: Make, write: Write) -> None:
    board = read_board(write(record("moco", PLAIN), record("moco", "detection/patterns@2+custom")))
    assert len(board.columns) == 2
    with pytest.raises(UserError, match=r"detection/patterns\+custom is here in versions @1, @2"):
        read_board(write(record("moco", CUSTOM)))


def test_custom_runs_with_other_keys_are_refused(record: Make, write: Write) -> None:
    configs = [{"library": {"MODEL.RPN.NMS_THRESH": threshold}} for threshold in (0.5, 0.6)]
    root = write(record("moco", CUSTOM, config=configs[0]), record("mscn", CUSTOM, config=configs[1]))
    with pytest.raises(UserError, match="has 2 different settings"):
        read_board(root)


def test_records_are_found_where_their_protocol_says(record: Make, write: Write) -> None:
    root = write(record("moco", PLAIN), record("moco", CUSTOM))
    folders = {path.parent.name for path in root.rglob("*.json")}
    assert folders == {"detection-patterns@1", "detection-patterns@1+custom"}


@pytest.mark.parametrize("protocol", [f"{PLAIN}+other", f"{PLAIN}+custom+custom", "detection/a+custom@1"])
def test_other_endings_are_not_protocols(protocol: str, record: Make) -> None:
    with pytest.raises((ValidationError, KeyError)):
        record("moco", protocol)
