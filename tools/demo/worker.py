"""What a worker process does: run one cell and report its progress."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import NamedTuple

from mmbench.processes import cores, end_with_parent
from mmbench.tools.demo.plan import ARCH, DATA, Cell, pretrain_name

REPORT_EVERY_SECONDS = 0.25


class Progress(NamedTuple):
    """How far a cell is: `done` of `total` steps, and a few words."""

    cell: str
    done: int
    total: int
    words: str


class DemoFolders(NamedTuple):
    """Where the demo keeps its things."""

    root: Path

    @property
    def data(self) -> Path:
        """Data root."""
        return self.root / "data"

    @property
    def runs(self) -> Path:
        """Run folders of the pretraining arms."""
        return self.root / "runs"

    @property
    def results(self) -> Path:
        """Result records."""
        return self.root / "results"

    @property
    def work(self) -> Path:
        """Logs of the dense tasks."""
        return self.root / "work"

    @property
    def board(self) -> Path:
        """The leaderboard."""
        return self.root / "leaderboard"

    @property
    def state(self) -> Path:
        """Which cells are finished, and what they left."""
        return self.root / "demo.json"


_messages: SimpleQueue[Progress] | None = None


def start_worker(messages: SimpleQueue[Progress], logs: Path) -> None:
    """Prepare this process: one thread (there is one process per core), and its own log file.

    What libraries print goes to the log, so that the progress bars stay whole; an interrupt is the
    parent's to handle, and when the parent is gone this process goes too.
    """
    global _messages
    _messages = messages
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log = os.open(logs / f"worker-{os.getpid()}.log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)

    end_with_parent()

    import torch

    torch.set_num_threads(1)


def _reporter(cell: Cell) -> Callable[[int, int, str], None]:
    """Return a callback that passes progress on, at most every quarter second."""
    last = 0.0

    def report(done: int, total: int, words: str) -> None:
        nonlocal last
        now = time.monotonic()
        if _messages is not None and (now - last >= REPORT_EVERY_SECONDS or done >= total):
            last = now
            _messages.put(Progress(cell.name, done, total, words))

    return report


def run_cell(cell: Cell, folders: DemoFolders, epochs: int) -> str:
    """Run one cell and return the path of what it left (a run folder, a record, or the data)."""
    from mmbench.data import load_dataset

    report = _reporter(cell)
    report(0, 1, "starting")
    if cell.kind == "data":
        from mmbench.data.patterns import prepare

        root = folders.data / DATA
        if not root.exists():
            prepare(root, report=report, processes=cores())  # the other workers wait for it
        return str(load_dataset(DATA, folders.data).root)
    dataset = load_dataset(DATA, folders.data)
    if cell.kind == "pretrain":
        from mmbench.pretrain.config import resolve_config
        from mmbench.pretrain.engine import pretrain

        config = resolve_config(
            cell.arm,
            arch=ARCH,
            data=DATA,
            data_root=folders.data,
            epochs=epochs,
            seed=cell.pretraining_seed,
            device="auto",
            threads=1,
        )
        out = folders.runs / pretrain_name(cell.arm, cell.pretraining_seed)
        return str(pretrain(config, out, report, dataset=dataset).root)

    from mmbench.results import ResultStore
    from mmbench.transfer.execution import execute
    from mmbench.transfer.loading import load_model
    from mmbench.transfer.resolution import resolve_task
    from mmbench.transfer.run import TransferRun

    weights = folders.runs / pretrain_name(cell.arm, cell.pretraining_seed)
    spec = str(weights) if weights.is_dir() else cell.arm
    backbone = load_model(spec, ARCH, dataset, cell.pretraining_seed)
    run = TransferRun(resolve_task(cell.task, cell.protocol), backbone, dataset, cell.transfer_seed)
    store = ResultStore(folders.results)
    execute(run, store, folders.work / cell.name.replace("/", "-").replace(" ", "_"), report)
    return str(run.path(store))
