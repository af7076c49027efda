"""Run the demo's cells in warm worker processes, each as soon as its dependencies are finished."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.queues import SimpleQueue

from rich.console import Console

from mmbench.errors import UserError
from mmbench.files import write_json
from mmbench.tools.demo.plan import Cell
from mmbench.tools.demo.progress import DemoProgress
from mmbench.tools.demo.worker import DemoFolders, Progress, run_cell, start_worker

POLL_SECONDS = 0.2


def finished_cells(folders: DemoFolders, epochs: int) -> dict[str, str]:
    """Return the finished cells and their outputs; a cell whose output is missing is not finished.

    Raises:
        UserError: the folder holds a demo of another length, or its state file is damaged.
    """
    if not folders.state.exists():
        return {}
    try:
        state = json.loads(folders.state.read_text(encoding="utf-8"))
        cells: dict[str, str] = state["cells"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise UserError(f"{folders.state} is damaged; delete it, and finished records are reused") from None
    if state["epochs"] != epochs:
        raise UserError(
            f"{folders.root} holds a demo of {state['epochs']} epochs, not {epochs}; "
            f"choose another folder with --out, or continue with --epochs {state['epochs']}"
        )
    return {name: left for name, left in cells.items() if (folders.root / left).exists()}


def run_cells(
    cells: Sequence[Cell], folders: DemoFolders, epochs: int, workers: int, console: Console
) -> None:
    """Run every cell that is not finished yet.

    Raises:
        UserError: a cell failed; the finished ones are reused by the next call.
    """
    state = finished_cells(folders, epochs)
    waiting = [cell for cell in cells if cell.name not in state]
    if not waiting:
        console.print(f"all {len(cells)} parts are finished already", highlight=False)
        return
    # One process per core with one thread each; torch reads this before `set_num_threads` is called.
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    running: dict[Future[str], Cell] = {}
    progress = DemoProgress(waiting, workers, len(cells), console)
    with _worker_pool(workers, folders) as (pool, messages), progress:
        while waiting or running:
            for cell in _ready(waiting, state)[: workers - len(running)]:
                waiting.remove(cell)
                running[pool.submit(run_cell, cell, folders, epochs)] = cell
                progress.begin(cell)
            done, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            while not messages.empty():
                progress.receive(messages.get())
            progress.draw()
            for future in done:
                cell = running.pop(future)
                try:
                    left = future.result()
                except BrokenProcessPool:
                    raise UserError(
                        f"a worker process died in '{cell.name}' (out of memory?); see {folders.work}, "
                        "then run the same command again to continue"
                    ) from None
                state[cell.name] = os.path.relpath(left, folders.root)
                write_json(folders.state, {"epochs": epochs, "cells": state})
                progress.end(cell)


def _ready(waiting: Sequence[Cell], finished: dict[str, str]) -> list[Cell]:
    """Return the cells that can start now: pretraining first, then the longest."""
    ready = [cell for cell in waiting if all(name in finished for name in cell.after)]
    return sorted(ready, key=lambda cell: (cell.kind != "pretrain", -cell.seconds))


@contextlib.contextmanager
def _worker_pool(
    workers: int, folders: DemoFolders
) -> Iterator[tuple[ProcessPoolExecutor, SimpleQueue[Progress]]]:
    """Yield a pool of new processes and the queue of their messages; stop them at once on any error."""
    context = multiprocessing.get_context("spawn")
    messages: SimpleQueue[Progress] = context.SimpleQueue()
    folders.work.mkdir(parents=True, exist_ok=True)
    pool = ProcessPoolExecutor(workers, context, start_worker, (messages, folders.work))
    try:
        yield pool, messages
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    pool.shutdown()
