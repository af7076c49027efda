"""The folder of a suite: everything that a run leaves, and the state of each cell in a file of its own.

suite.yaml      the suite that the folder holds
data/           data sets, unless the suite says where they are
runs/           run folders of the pretrainings
results/        result records
leaderboard/    the board
cells/          ID.json: the state of a cell; ID.lock: held while a process works on it
logs/           ID.log: what a cell printed; parsl/: the engine's logs, pruned
drivers/        HOST-PID.json: a process that runs the suite, and the jobs that it submitted
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import BaseModel, ValidationError

from mmbench.files import write_json
from mmbench.settings.types import STRICT

Status = Literal["running", "done", "failed", "stopped"]


class CellState(BaseModel):
    """What is known of a cell that was begun.

    Attributes:
        id, name: of the cell.
        status: "stopped" means that it was interrupted and goes on where it stood.
        attempt: counts from 1.
        host, pid: the process that worked on it last.
        started, changed: seconds since 1970.
        seconds: wall time of the attempts, as far as they are known.
        done, total, words: progress of the running attempt.
        left: what it left, relative to the suite's folder, such as its record; "" if nothing.
        fingerprint: of the data set that it found, or of the weights that it left.
        card: SHA-256 of the file that described the weights that it read, see `WeightsFiles`; "" for none.
        error: one line, of a failed cell.
    """

    model_config = STRICT

    id: str
    name: str
    status: Status
    attempt: int = 1
    host: str
    pid: int
    started: float
    changed: float
    seconds: float = 0
    done: int = 0
    total: int = 1
    words: str = ""
    left: str = ""
    fingerprint: str = ""
    card: str = ""
    error: str = ""


class SuiteFolder(NamedTuple):
    """The names inside the folder of a suite."""

    root: Path

    @property
    def suite(self) -> Path:
        """The suite that the folder holds (YAML)."""
        return self.root / "suite.yaml"

    @property
    def data(self) -> Path:
        """Data sets."""
        return self.root / "data"

    @property
    def runs(self) -> Path:
        """Run folders of the pretrainings."""
        return self.root / "runs"

    @property
    def results(self) -> Path:
        """Result records."""
        return self.root / "results"

    @property
    def board(self) -> Path:
        """The leaderboard."""
        return self.root / "leaderboard"

    @property
    def cells(self) -> Path:
        """States and locks of the cells."""
        return self.root / "cells"

    @property
    def logs(self) -> Path:
        """What cells printed, and the engine's logs."""
        return self.root / "logs"

    @property
    def drivers(self) -> Path:
        """The processes that run the suite, a file each."""
        return self.root / "drivers"

    def state_path(self, cell: str) -> Path:
        """Return the state file of the cell with this id."""
        return self.cells / f"{cell}.json"

    def lock(self, cell: str) -> Path:
        """Return the lock file of the cell with this id."""
        return self.cells / f"{cell}.lock"

    def log(self, cell: str) -> Path:
        """Return the log of the cell with this id."""
        return self.logs / f"{cell}.log"

    def state(self, cell: str) -> CellState | None:
        """Return the state of the cell with this id; None if it was never begun or its file is damaged."""
        return _read(self.state_path(cell))

    def states(self) -> Iterator[CellState]:
        """Yield the state of every cell that was begun."""
        for path in sorted(self.cells.glob("*.json")):
            if (state := _read(path)) is not None:
                yield state

    def write(self, state: CellState) -> None:
        """Write the state of a cell atomically."""
        write_json(self.state_path(state.id), state.model_dump(mode="json"))

    def write_progress(self, state: CellState) -> None:
        """Write the state of a running cell whole, without waiting for the disk; one process may do so."""
        path = self.state_path(state.id)
        part = path.with_name(f".{state.id}.part")
        part.write_text(state.model_dump_json(indent=2), encoding="utf-8")
        part.replace(path)


def _read(path: Path) -> CellState | None:
    """Return a cell's state; a damaged one counts as none, so its cell is looked at again."""
    try:
        return CellState.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None
