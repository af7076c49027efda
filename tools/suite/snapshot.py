"""Snapshot: how far a suite is, from its plan and the states of its cells alone, wherever they are run."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mmbench.processes import began, host_name
from mmbench.progress import rate_text
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.planning.cell import Cell
from mmbench.tools.suite.planning.overview import duration
from mmbench.tools.suite.planning.plan import Plan

Standing = Literal["done", "running", "interrupted", "failed", "blocked", "waiting"]
STANDINGS: tuple[Standing, ...] = get_args(Standing)
SILENT_SECONDS = 120.0  # of a lock, which its owner touches every few seconds
# Of its estimate; a cell that took less found its result there, and says nothing of this machine's speed.
FOUND_SHARE = 0.05
TRUSTED_SHARE = 0.1  # of a running cell; before that, loading counts for too much
_RATE = re.compile(r"([0-9.]+) images/s")


@dataclass(frozen=True)
class RunningCell:
    """A cell that a process works on.

    Attributes:
        done, total, words: its own report.
        rate: "812 images/s", "3.1/s" or "4.0 s each"; "" while it is not known.
        seconds: wall time of this attempt.
        host: where it runs.
    """

    name: str
    done: int
    total: int
    words: str
    rate: str
    seconds: float
    host: str

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        return min(1.0, self.done / max(1, self.total))

    @property
    def report(self) -> str:
        """The rate and its own words, which may state the rate."""
        return self.words if self.rate in self.words else f"{self.rate}  {self.words}".strip()


@dataclass(frozen=True)
class FailedCell:
    """A cell that failed: its error in one line, and where it logged the rest."""

    name: str
    error: str
    log: str


@dataclass(frozen=True)
class BlockedCell:
    """A cell that cannot run, and the failed cell that it waits for."""

    name: str
    failed: str


@dataclass(frozen=True)
class Snapshot:
    """How far a suite is.

    Attributes:
        counts: number of cells by kind ("data", "pretrain", "transfer") and standing.
        interrupted: names of cells that no process works on any more; they go on where they stood.
        share: of the estimated work, from 0 to 1.
        seconds_left: estimated wall time of what can still run.
    """

    counts: Mapping[str, Mapping[Standing, int]]
    running: tuple[RunningCell, ...]
    failed: tuple[FailedCell, ...]
    interrupted: tuple[str, ...]
    blocked: tuple[BlockedCell, ...]
    share: float
    seconds_left: float

    def number(self, *standings: Standing) -> int:
        """Return how many cells stand so; all cells without an argument."""
        wanted = standings or STANDINGS
        return sum(counts[standing] for counts in self.counts.values() for standing in wanted)

    @property
    def time_left(self) -> str:
        """The estimate in words."""
        return f"about {duration(self.seconds_left)} left"

    def as_json(self) -> dict[str, Any]:
        """Return it for `mmbench suite status --json`."""
        return {
            "cells": self.number(),
            "counts": {standing: self.number(standing) for standing in STANDINGS},
            "kinds": {kind: dict(counts) for kind, counts in self.counts.items()},
            "share": round(self.share, 4),
            "seconds_left": round(self.seconds_left, 1),
            "running": [{**vars(cell), "seconds": round(cell.seconds, 1)} for cell in self.running],
            "failed": [vars(cell) for cell in self.failed],
            "interrupted": list(self.interrupted),
            "blocked": [vars(cell) for cell in self.blocked],
        }


def left_alone(states: Mapping[str, CellState], folder: SuiteFolder) -> frozenset[str]:
    """Return the ids of cells that count as running, but that no process works on any more."""
    running = [state for state in states.values() if state.status == "running"]
    return frozenset(state.id for state in running if not _is_held(state, folder))


def _is_held(state: CellState, folder: SuiteFolder) -> bool:
    """Return whether the process of a running cell lives: here by its number, elsewhere by its lock."""
    try:
        touched = folder.lock(state.id).stat().st_mtime
    except OSError:
        return False
    if state.host != host_name():
        return time.time() - touched < SILENT_SECONDS
    return began(state.pid) is not None


def snapshot(
    plan: Plan,
    states: Mapping[str, CellState],
    folder: SuiteFolder,
    *,
    workers: int,
    gone: Collection[str] = (),
    now: float | None = None,
) -> Snapshot:
    """Return how far a suite is.

    The time left is what the cells' estimates say, times how much slower or faster the cells so far were.

    Args:
        states: of cells that were begun, by id.
        folder: names the logs.
        workers: how many cells run at a time.
        gone: ids of cells that no process works on any more, see `left_alone`.
        now: seconds since 1970; None asks the clock.
    """
    now = time.time() if now is None else now
    counts: dict[str, dict[Standing, int]] = {}
    running: list[RunningCell] = []
    failed: list[FailedCell] = []
    interrupted: list[str] = []
    blocked: list[BlockedCell] = []
    cause: dict[str, str] = {}  # id of a failed or blocked cell -> name of the failed one
    expected = spent = finished = left = 0.0
    for cell in plan.cells:
        state = states.get(cell.id)
        standing = _standing(cell, state, gone, cause)
        counts.setdefault(cell.work.kind, dict.fromkeys(STANDINGS, 0))[standing] += 1
        share = 0.0
        if state is not None and standing == "done":
            share = 1.0
            if state.seconds > FOUND_SHARE * cell.seconds and cell.work.kind != "data":
                expected, spent = expected + cell.seconds, spent + state.seconds
        elif state is not None and standing == "running":
            running.append(_running(state, now))
            share = running[-1].share
            if share > TRUSTED_SHARE and state.attempt == 1:
                expected += share * cell.seconds
                spent += running[-1].seconds
        elif state is not None and standing == "interrupted":
            interrupted.append(cell.name)
            share = min(1.0, state.done / max(1, state.total))
        elif state is not None and standing == "failed":
            failed.append(FailedCell(cell.name, state.error, str(folder.log(cell.id))))
            cause[cell.id] = cell.name
        elif standing == "blocked":
            cause[cell.id] = next(cause[needed] for needed in cell.after if needed in cause)
            blocked.append(BlockedCell(cell.name, cause[cell.id]))
        finished += share * cell.seconds
        if standing not in ("failed", "blocked"):
            left += (1 - share) * cell.seconds
    total = sum(cell.seconds for cell in plan.cells)
    slowness = spent / expected if expected else 1.0
    return Snapshot(
        counts,
        tuple(running),
        tuple(failed),
        tuple(interrupted),
        tuple(blocked),
        share=finished / total if total else 1.0,
        seconds_left=slowness * left / max(1, workers),
    )


def _standing(
    cell: Cell, state: CellState | None, gone: Collection[str], cause: Mapping[str, str]
) -> Standing:
    if state is not None and state.status in ("done", "failed"):
        return "done" if state.status == "done" else "failed"
    if state is not None and state.status == "running" and cell.id not in gone:
        return "running"
    if any(needed in cause for needed in cell.after):
        return "blocked"
    return "waiting" if state is None else "interrupted"


def _running(state: CellState, now: float) -> RunningCell:
    seconds = max(0.0, now - state.started)
    if stated := _RATE.search(state.words):
        rate = f"{float(stated[1]):.0f} images/s"
    elif state.attempt == 1 and state.done and state.total > 1 and seconds:
        rate = rate_text(state.done / seconds)
    else:  # an attempt that goes on does not say where it began
        rate = ""
    return RunningCell(state.name, state.done, state.total, state.words, rate, seconds, state.host)
