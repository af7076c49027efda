"""A small demo from end to end: data, two arms, the controls, one probe, the board; nothing runs twice."""

import io
import json
from pathlib import Path

from rich.console import Console

from mmbench.data.patterns import PatternsConfig, prepare
from mmbench.tools.demo.command import run_demo

SMALL = PatternsConfig(train=400, val=100, test=200, scenes_train=4, scenes_val=2, scenes_test=2)


def test_a_small_demo_ends_in_a_board_and_is_reused(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    prepare(out / "data" / "patterns", SMALL)
    first, second = (Console(file=io.StringIO(), width=120) for _ in range(2))
    arguments = {"arms": ("mscn", "mixmask"), "tasks": ("knn",), "seeds": (0,), "epochs": 1, "workers": 1}
    page = run_demo(out, console=first, **arguments)  # type: ignore[arg-type]
    assert page == out / "leaderboard" / "index.html" and page.is_file()
    records = sorted((out / "results").rglob("*.json"))
    arms = sorted(json.loads(path.read_text())["model"]["arm"] for path in records)
    assert arms == ["mixmask", "mscn", "pixels", "random", "random-high-pass"]
    text = first.file.getvalue()  # type: ignore[attr-defined]
    assert "mixmask" in text and "index.html" in text and "8/8" in text

    before = {path: path.stat().st_mtime_ns for path in records}
    run_demo(out, console=second, **arguments)  # type: ignore[arg-type]
    assert "all 8 parts are finished already" in second.file.getvalue()  # type: ignore[attr-defined]
    assert {path: path.stat().st_mtime_ns for path in sorted((out / "results").rglob("*.json"))} == before
