"""A small demo from end to end: data, two arms, the controls, one probe, the board; nothing runs twice."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from mmbench.data.patterns import PatternsConfig, prepare
from mmbench.errors import UserError
from mmbench.tasks import TASKS
from mmbench.tools.demo.command import demo_suite, run_demo, with_held
from mmbench.tools.suite.definition.suite_file import read_suite
from mmbench.tools.suite.folder import SuiteFolder
from mmbench.tools.suite.held import hold
from mmbench.tools.suite.planning.plan import plan_of

SMALL = PatternsConfig(train=400, val=100, test=200, scenes_train=4, scenes_val=2, scenes_test=2)


def test_a_small_demo_ends_in_a_board_and_is_reused(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    prepare(out / "data" / "patterns", SMALL)
    (out / "demo.json").write_text('{"epochs": 1, "cells": {}}')  # of an earlier version
    first, second = (io.StringIO() for _ in range(2))
    suite = demo_suite(methods=("mscn", "mixmask"), tasks=("knn",), seeds=(0,), epochs=1, workers=1)
    end = run_demo(suite, out, Console(file=first, width=120))
    assert end.number("done") == end.number() == 8
    assert (out / "leaderboard" / "index.html").is_file() and (out / "runs" / "mixmask-seed0").is_dir()
    records = sorted((out / "results").rglob("*.json"))
    arms = sorted(json.loads(path.read_text())["model"]["arm"] for path in records)
    assert arms == ["mixmask", "mscn", "pixels", "random", "random-high-pass"]
    text = first.getvalue()
    assert "removed" in text and not (out / "demo.json").exists()
    assert "mixmask" in text and "index.html" in text and "8/8" in text

    before = {path: path.stat().st_mtime_ns for path in records}
    run_demo(suite, out, Console(file=second, width=120))
    assert "all 8 cells are done already" in second.getvalue()
    assert {path: path.stat().st_mtime_ns for path in sorted((out / "results").rglob("*.json"))} == before


def test_without_options_the_demo_is_the_shipped_suite() -> None:
    assert plan_of(demo_suite()).cells == plan_of(read_suite("demo")).cells


def test_the_filtered_control_is_measured_beside_mscn_only() -> None:
    assert [arm.name for arm in demo_suite(methods=("moco",)).arms] == ["moco", "random", "pixels"]
    part = plan_of(demo_suite(methods=("moco",), tasks=("finetune",), seeds=(3,), epochs=1))
    assert [cell.name for cell in part.cells] == [
        "data patterns",
        "moco-seed3",
        "moco-seed3 finetune/patterns@2 seed0",
        "random-seed3 finetune/patterns@2 seed0",
    ]
    assert part.suite.baseline is None


def test_a_part_joins_what_the_folder_holds(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path)
    part = demo_suite(methods=("moco",), tasks=("knn",), seeds=(5,), epochs=2)
    assert with_held(part, folder) == part
    hold(plan_of(part), folder)
    asked = demo_suite(methods=("mixmask",), tasks=("finetune",), seeds=(0,), epochs=2, workers=1)
    joined = with_held(asked, folder)
    assert [arm.name for arm in joined.arms] == ["mixmask", "moco", "random", "pixels"]
    assert [stated.task for stated in joined.tasks] == ["knn", "finetune"]
    assert (joined.seeds, joined.run.workers) == ((5, 0), 1)
    assert "has grown" in str(hold(plan_of(joined), folder))
    with pytest.raises(UserError, match="epochs 2 there, 8 here"):
        hold(plan_of(with_held(demo_suite(), folder)), folder)


@pytest.mark.parametrize("task", sorted(TASKS.names()))
def test_each_task_can_be_measured_alone(task: str) -> None:
    """Controls that it cannot take are left out."""
    cells = plan_of(demo_suite(tasks=(task,))).cells
    found = {cell.work.arm for cell in cells if cell.work.kind == "transfer"}
    lacking: dict[str, set[str]] = {"knn": set(), "linear": set()}
    lacking |= {name: {"random-high-pass", "pixels"} for name in ("detection", "segmentation")}
    everyone = {"mixmask", "moco", "erase", "mscn", "random", "random-high-pass", "pixels"}
    assert found == everyone - lacking.get(task, {"pixels"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ("mixmsk",)}, "did you mean 'mixmask'"),
        ({"methods": ("random",)}, "unknown method 'random'"),
        ({"tasks": ("lineer",)}, "did you mean 'linear'"),
    ],
)
def test_unknown_names_are_refused(options: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        demo_suite(**options)  # type: ignore[arg-type]


def test_an_older_demo_of_another_length_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text('{"epochs": 8, "cells": {}}')
    with pytest.raises(UserError, match="8 epochs, not 9"):
        run_demo(demo_suite(epochs=9), tmp_path, Console(file=io.StringIO()))
    assert [path.name for path in tmp_path.iterdir()] == ["demo.json"]
