"""The demo's state file, its estimate of the time left, and its errors."""

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from mmbench.errors import UserError
from mmbench.tools.demo import progress as progress_module
from mmbench.tools.demo.command import run_demo
from mmbench.tools.demo.plan import Cell
from mmbench.tools.demo.progress import DemoProgress
from mmbench.tools.demo.schedule import finished_cells
from mmbench.tools.demo.worker import DemoFolders, Progress


def test_time_left_scales_the_costs_by_the_speed_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: clock[0])
    first, second, third = (Cell(name, "transfer", cost) for name, cost in (("a", 10), ("b", 20), ("c", 30)))
    output = io.StringIO()
    with DemoProgress([first, second, third], workers=2, total=5, console=Console(file=output)) as progress:
        assert progress.seconds_left() == pytest.approx((10 + 20 + 30) / 2)
        progress.begin(first)
        progress.begin(second)
        clock[0] += 15.0
        progress.end(first)  # cost 10, took 15: everything is 1.5 times slower
        progress.receive(Progress("b", 5, 10, "half"))
        assert progress.seconds_left() == pytest.approx(1.5 * (0.5 * 20 + 30) / 2)
        assert progress.finished == 3  # two were done before
    dated = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[  3/5\] a: 15\.0 s \(about \d+ s left\)\n"
    assert re.fullmatch(dated, output.getvalue())


def test_a_finished_cell_counts_only_while_its_output_exists(tmp_path: Path) -> None:
    folders = DemoFolders(tmp_path)
    assert finished_cells(folders, epochs=8) == {}
    (tmp_path / "kept.json").write_text("{}")
    state = {"epochs": 8, "cells": {"kept": "kept.json", "lost": "lost.json"}}
    folders.state.write_text(json.dumps(state))
    assert finished_cells(folders, epochs=8) == {"kept": "kept.json"}


def test_a_demo_of_another_length_is_refused(tmp_path: Path) -> None:
    folders = DemoFolders(tmp_path)
    folders.state.write_text(json.dumps({"epochs": 8, "cells": {}}))
    with pytest.raises(UserError, match="8 epochs, not 9"):
        finished_cells(folders, epochs=9)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 1', "{}"])
def test_a_damaged_state_file_is_named(tmp_path: Path, text: str) -> None:
    folders = DemoFolders(tmp_path)
    folders.state.write_text(text)
    with pytest.raises(UserError, match=r"demo\.json is damaged"):
        finished_cells(folders, epochs=8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"arms": ("mixmsk",)}, "did you mean 'mixmask'"),
        ({"tasks": ("lineer",)}, "did you mean 'linear'"),
        ({"epochs": 0}, "at least one epoch"),
        ({"seeds": ()}, "at least one epoch and one seed"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_written(
    tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        run_demo(tmp_path / "demo", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "demo").exists()


def test_on_a_terminal_no_finished_part_is_erased_by_the_bars() -> None:
    cells = [Cell(f"cell{number}", "transfer", 1) for number in range(6)]
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100, height=30)
    with DemoProgress(cells, workers=2, total=6, console=console) as progress:
        for cell in cells:
            progress.begin(cell)
            progress.draw()
            progress.end(cell)
    # What stays on a screen: a terminal that knows the codes of the bars (up, erase line, return).
    rows, row = [""], 0
    for part in re.split(r"(\x1b\[\d*A|\x1b\[2K|\x1b\[[\d;?]*[a-zA-Z]|\r|\n)", output.getvalue()):
        if part == "\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif re.fullmatch(r"\x1b\[\d*A", part):
            row -= int(part[2:-1] or 1)
        elif part == "\x1b[2K":
            rows[row] = ""
        elif part and not part.startswith("\x1b") and part != "\r":
            rows[row] += part
    assert [text.split(":")[0] for text in rows if text.strip()] == [
        f"[  {n + 1}/6] cell{n}" for n in range(6)
    ]
