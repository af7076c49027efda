"""Losses of a training in metrics.json, and what is said of its progress."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from mmbench.transfer.dense.common import history
from mmbench.transfer.dense.common.history import LossHistory, Progress

VALUES = [5.0, 1.0, 4.0, 2.0, 8.0, 3.0, 7.0]


def lines_of(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("interrupted", [None, 1, 3, 4, 6])
def test_lines_are_medians_whenever_the_training_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: int | None
) -> None:
    monkeypatch.setattr(history, "WINDOW", 3)
    path = tmp_path / "metrics.json"
    kept = LossHistory(path)
    kept.write()
    for done, value in enumerate(VALUES, start=1):
        kept.add(done, {"total_loss": value}, {"lr": 1 / done}, last=done == len(VALUES))
        if done == interrupted:
            state = json.loads(json.dumps(kept.state_dict()))
            kept.add(done + 1, {"total_loss": 99.0}, {"lr": 99.0}, last=True)  # lost with the session
            kept = LossHistory(path)
            kept.load_state_dict(state)
            kept.write()
    parts = [VALUES[:3], VALUES[3:6], VALUES[6:]]
    assert lines_of(path) == [
        {"iteration": last - 1, "total_loss": statistics.median(part), "lr": 1 / last}
        for last, part in zip((3, 6, 7), parts, strict=True)
    ]


def test_the_wait_of_all_sessions_is_said() -> None:
    said: list[tuple[int, int, str]] = []
    progress = Progress(lambda *given: said.append(given), LossHistory(None), lambda: 2.0)
    progress.load_state_dict({"waited": 3.0, "seconds": 5.0})
    progress.begin()
    progress.history.add(1, {"total_loss": 0.25}, {}, last=True)
    progress.step(1, 1, 0.25)
    assert said == [(1, 1, "loss 0.25, 100% of the time waiting for data")]
    assert "training loss 0.250 at the end" in progress.note()
    quiet = Progress(lambda *given: said.append(given), LossHistory(None), lambda: 0.0)
    quiet.step(1, 2, None)
    assert said[-1] == (1, 2, "no loss yet") and "0% of the training's time" in quiet.note()
