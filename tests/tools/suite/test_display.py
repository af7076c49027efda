"""How a running suite is shown: lines without a terminal, bars on one."""

import io
import os
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from mmbench.processes import host_name
from mmbench.tools.suite import display as display_module
from mmbench.tools.suite.definition.suite import Arm, Suite
from mmbench.tools.suite.display import SuiteDisplay
from mmbench.tools.suite.folder import CellState, Status, SuiteFolder
from mmbench.tools.suite.planning.cell import Cell, PretrainWork, TransferWork
from mmbench.tools.suite.planning.plan import Plan

FOLDER = SuiteFolder(Path("x"))
PRETRAININGS = tuple(PretrainWork(arm=arm, seed=0, data="patterns", method=arm) for arm in ("moco", "mscn"))
MOCO, MSCN = (Cell(name=work.folder, work=work, seconds=100) for work in PRETRAININGS)


def transfer(cell: Cell, task: str) -> Cell:
    assert isinstance(cell.work, PretrainWork)
    work = TransferWork(
        arm=cell.work.arm,
        weights=cell.work,
        weights_seed=0,
        data="patterns",
        task=task,
        protocol="p@1",
        seed=0,
    )
    return Cell(name=f"{cell.name} {task}", work=work, after=(cell.id,), seconds=20)


CELLS = (MOCO, MSCN, *(transfer(cell, task) for cell in (MOCO, MSCN) for task in ("knn", "linear")))
PLAN = Plan(Suite(name="small", data=("patterns",), arms=(Arm(checkpoint="random"),), tasks=("knn",)), CELLS)


def state(cell: Cell, status: Status, **facts: object) -> CellState:
    """Return the state of a cell that this process works on."""
    now = time.time()
    usual = {"host": host_name(), "pid": os.getpid(), "started": now, "changed": now}
    return CellState.model_validate({"id": cell.id, "name": cell.name, "status": status, **usual, **facts})


def test_without_a_terminal_each_ended_cell_is_a_dated_line() -> None:
    output = io.StringIO()
    before = {MOCO.id: state(MOCO, "done", seconds=100.0)}
    with SuiteDisplay(PLAN, FOLDER, before, workers=1, console=Console(file=output)) as display:
        display.update({MSCN.id: state(MSCN, "running")})
        display.update({MSCN.id: state(MSCN, "failed", error="loss is not finite")})
        done = {CELLS[2].id: state(CELLS[2], "done", seconds=30.0)}
        display.update(done)
        display.update(done)  # nothing new
        display.say("the engine was lost")
    date = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "
    failed, done_line, said = output.getvalue().splitlines()
    expected = (
        rf"\[  2/6\] mscn-seed0 FAILED: loss is not finite \(log: x/logs/{MSCN.id}\.log\) \(about 40 s left\)"
    )
    assert re.fullmatch(date + expected, failed)
    # 100 and 20 s were expected, and took 130; one cell of 20 s is left, as the failed one blocks two
    assert re.fullmatch(date + r"\[  3/6\] moco-seed0 knn: 30\.0 s \(about 22 s left\)", done_line)
    assert re.fullmatch(date + "the engine was lost", said)


def numbers(output: io.StringIO) -> list[tuple[int, str]]:
    """Return the number and the name of each printed cell that ended."""
    return [
        (int(number), name)
        for number, name in re.findall(r"\[ *(\d+)/6\] ([^:\n]+?)(?: FAILED)?:", output.getvalue())
    ]


def test_no_two_cells_of_a_continued_run_have_the_same_number() -> None:
    output = io.StringIO()
    done, *rest = CELLS
    before = {done.id: state(done, "done"), **{one.id: state(one, "failed", error="x") for one in rest[:3]}}
    with SuiteDisplay(PLAN, FOLDER, before, workers=1, console=Console(file=output, width=300)) as display:
        for one in rest[:2]:
            display.update({one.id: state(one, "running", attempt=2)})
            display.update({one.id: state(one, "failed", attempt=2, error="x")})
        # It fails again before anyone sees it run, together with one that ends.
        display.update({rest[2].id: state(rest[2], "failed", attempt=2), rest[3].id: state(rest[3], "done")})
        display.update({rest[0].id: state(rest[0], "running", attempt=3)})
        display.update({rest[0].id: state(rest[0], "done", attempt=3)})  # by another runner
        display.update({rest[4].id: state(rest[4], "done")})
    ended = [rest[0], rest[1], rest[2], rest[3], rest[0], rest[4]]
    assert numbers(output) == list(zip([2, 3, 4, 5, 2, 6], [one.name for one in ended], strict=True))


def test_a_long_quiet_run_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = [100.0]
    monkeypatch.setattr(display_module.time, "monotonic", lambda: clock[0])
    folder = SuiteFolder(tmp_path)
    folder.cells.mkdir()
    folder.lock(MOCO.id).touch()
    output = io.StringIO()
    running = {MOCO.id: state(MOCO, "running", done=45, total=100, words="loss 4  812 images/s")}
    with SuiteDisplay(PLAN, folder, {}, workers=1, console=Console(file=output, width=300)) as display:
        display.update(running)
        assert output.getvalue() == ""
        clock[0] += display_module.QUIET_SECONDS + 1
        display.update(running)
        display.update(running)
    (line,) = output.getvalue().splitlines()
    assert "0 of 6 cells, running: moco-seed0 45% 812 images/s (about" in line


def test_on_a_terminal_no_ended_cell_is_erased_by_the_bars(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path)
    folder.cells.mkdir()
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=150, height=30)
    with SuiteDisplay(PLAN, folder, {}, workers=2, console=console) as display:
        for cell in CELLS:
            folder.lock(cell.id).touch()
            display.update({cell.id: state(cell, "running", done=1, total=2, words="half [bold]")})
            display.update({cell.id: state(cell, "done", seconds=1.0)})
    assert "half [bold]" in output.getvalue()
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
    expected = [f"[{n:>3}/6] {cell.name}" for n, cell in enumerate(CELLS, 1)]
    assert [text.split(":")[0] for text in rows if text.strip()] == expected


def test_more_running_cells_than_rows_are_counted(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path)
    folder.cells.mkdir()
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=150, height=display_module.REST + 2)
    with SuiteDisplay(PLAN, folder, {}, workers=6, console=console) as display:
        for cell in CELLS:
            folder.lock(cell.id).touch()
        display.update({cell.id: state(cell, "running") for cell in CELLS})
    assert "4 more running" in output.getvalue() and "linear" not in output.getvalue()
