"""Every field of board.json is compared: each is altered in turn, and only a stated list may differ."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mmbench.leaderboard.board import Anchor, Board
from mmbench.leaderboard.build import read_board
from mmbench.leaderboard.changes.compare import Changes, compare
from mmbench.leaderboard.changes.everything import NOT_COMPARED, equal
from mmbench.leaderboard.changes.snapshot import _snapshot
from mmbench.leaderboard.command import leaderboard
from mmbench.leaderboard.render.board_json import board_json
from mmbench.records.store import Metric, Result, ResultStore

Make = Callable[..., Result]
NEW = "a field that a later version adds"


@pytest.fixture(scope="module")
def text(board_records: Path) -> str:
    """Return a board of six arms and columns, with every field that a board may have."""
    board = read_board(board_records, "mscn")
    cell = board.cells["moco", board.columns[0].key]
    cells = {
        **board.cells,
        ("moco", board.columns[0].key): replace(
            cell,
            runs=(
                replace(
                    cell.runs[0],
                    interval=(60.0, 62.0),
                    labels="ab",
                    effective_lr=0.1,
                    compute_seconds=9.0,
                    files=("a.png",),
                ),
                *cell.runs[1:],
            ),
        ),
    }
    anchor = Anchor("moco", board.columns[0].key, 70.0, 69.0, 1.0, "a paper", "another crop")
    return board_json(replace(board, cells=cells, anchors=(anchor,)), ("index.html", "board.json"))


def changes(old: str, new: str) -> Changes:
    return compare(*(_snapshot(json.loads(text), "board") for text in (old, new)))


def places(part: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield (names from the root, container, key) of all in JSON; entries of a list share their names."""
    entries = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in entries:
        own = f"{path}.{key}".strip(".") if isinstance(key, str) else path
        yield own, part, key
        yield from places(value, own)


def altered(value: Any, name: str) -> Any:
    if name in ("config", "split_sizes"):
        return '{"altered": 1}'
    if value is None:
        return {"altered": 1} if name == "delta" else 1
    if isinstance(value, bool):
        return not value
    return f"{value}x" if isinstance(value, str) else value + 1


def seen(old: str, new: str) -> bool:
    """Whether two boards are told apart; columns that are not those of the cells are refused."""
    try:
        return bool(changes(old, new))
    except LookupError:
        return True


def compared(names: str) -> bool:
    """Whether a difference there has to be seen; what runs are made with is in a list of its own."""
    parts = names.split(".")
    paths = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return paths.isdisjoint(NOT_COMPARED.keys() - {"provenances"})


def test_a_board_equals_itself(text: str) -> None:
    assert not changes(text, text)


def test_every_field_that_is_altered_is_seen_or_stated(text: str) -> None:
    plain = json.loads(text)
    tried: dict[str, int] = {}
    for names, part, key in list(places(plain)):
        value = part[key]
        kind = re.sub(r"^(overall\.\w+)\..*", r"\1", names)
        if isinstance(value, dict | list) or tried.get(kind, 0) >= 3:
            continue
        tried[kind] = tried.get(kind, 0) + 1
        part[key] = altered(value, str(key))
        assert seen(text, json.dumps(plain)) == compared(names), (names, value)
        part[key] = value
    assert plain == json.loads(text)
    assert {"cells.runs.value", "cells.secondary.summary.mean", "rows.p_best", "overall.iqm"} <= tried.keys()
    assert {
        path for path in NOT_COMPARED if any(f"{names}.".startswith(f"{path}.") for names in tried)
    } == set(NOT_COMPARED), "the list names fields that no board has"


def test_entries_that_are_gone_and_fields_that_are_new_are_seen(text: str) -> None:
    plain = json.loads(text)
    everything = list(places(plain))
    for names in dict.fromkeys(names for names, _, _ in everything):
        for _, part, key in [
            place for place in everything if place[0] == names and isinstance(place[2], str)
        ][:2]:
            value = part[key]
            if isinstance(value, list) and value:
                last = value.pop()
                assert seen(text, json.dumps(plain)) == compared(names), names
                value.append(last)
    for names in (
        "",
        "rows",
        "columns",
        "cells",
        "cells.summary",
        "cells.delta",
        "cells.runs",
        "cells.secondary",
    ):
        part = (
            next(
                place[1][place[2]]
                for place in everything
                if place[0] == names and isinstance(place[1][place[2]], dict)
            )
            if names
            else plain
        )
        part[NEW] = 1
        assert seen(text, json.dumps(plain)) and seen(json.dumps(plain), text), names
        del part[NEW]


def test_rounding_is_no_difference(text: str) -> None:
    nearly = re.sub(
        r'("(?:mean|std|low|high|mean_rank|p)": )(\d+\.\d+)',
        lambda m: f"{m[1]}{float(m[2]) * (1 + 1e-13)!r}",
        text,
    )
    assert nearly != text and not changes(text, nearly)
    assert equal({"a": [1, None, "x"]}, {"a": [1.0, None, "x"]}) and not equal(1.0, 1.0 + 1e-8)
    assert not equal(True, 1) and not equal([1], [1, 2]) and not equal(1e-7, 2e-7) and equal({}, {"a": None})


def test_small_p_values_are_not_shown_as_zero(board_records: Path, text: str) -> None:
    """Of the first difference that has one, and of the first probability to be the best."""
    board = json.loads(text)
    cell = next(cell for cell in board["cells"] if cell["delta"] and cell["delta"]["adjusted_p"] is not None)
    row = board["rows"][0]
    shown = []
    for adjusted, best in ((0.0123456, 0.004), (0.00012345, 0.012)):
        cell["delta"]["adjusted_p"], row["p_best"] = adjusted, best
        shown.append(json.dumps(board))
    numbers = changes(*shown).numbers
    assert any(line.endswith("adjusted_p: 0.012 -> 0.00012") for line in numbers), numbers
    assert any(line.endswith(f"{row['name']}: <1% -> 1%") for line in numbers), numbers


def test_other_metrics_and_intervals_are_listed(record: Make, tmp_path: Path) -> None:
    def said(folder: str, change: Callable[[Result], Result]) -> list[str]:
        roots = [tmp_path / folder / name for name in ("before", "after")]
        for root in roots:
            for arm, seed in (("moco", 0), ("moco", 1), ("mscn", 0)):
                result = record(arm, seed=seed)
                ResultStore(root).write(result if root.name == "before" else change(result))
        done = CliRunner().invoke(leaderboard, ["diff", *map(str, roots), "--baseline", "mscn"])
        assert done.exit_code == 1
        return done.output.splitlines()

    def top5(result: Result) -> Result:
        worse = result.metrics["top5"].model_copy(update={"value": result.metrics["top5"].value - 60})
        return result.model_copy(update={"metrics": {**result.metrics, "top5": worse}})

    def interval(result: Result) -> Result:
        top1: Metric = result.metrics["top1"].model_copy(update={"interval": (60.0, 80.0)})
        single = result.model.arm == "mscn"
        return result.model_copy(update={"metrics": {**result.metrics, "top1": top1}}) if single else result

    lines = said("metric", top5)
    assert lines[0] == "Other numbers:"
    assert "  moco in linear/patterns@1 on patterns, top5: 65.90 -> 5.90" in lines
    assert "  mscn in linear/patterns@1 on patterns, top5: 64.00 -> 4.00" in lines
    assert lines[-1] == "0 conclusions and 0 cells changed, 0 beyond chance; 2 other changes"
    lines = said("interval", interval)
    where = "mscn in linear/patterns@1 on patterns, top1"
    assert f"  95% interval of a run: {where}: none -> [60.0, 80.0]" in lines
    assert any(line.startswith(f"  mean, spread or interval: {where}: interval: none -> ") for line in lines)


def test_another_baseline_is_one_change(board_records: Path, text: str) -> None:
    """Differences to it and what is said of them follow from it."""
    boards: list[Board] = [read_board(board_records, name, published=False) for name in ("mscn", "moco")]
    found = changes(*(board_json(board, ()) for board in boards))
    assert found.facts[0] == "baseline: mscn -> moco"
    assert not found.cells and not found.numbers and not found.conclusions
    assert all(fact.startswith("note ") for fact in found.facts[1:])
