"""How long the cells of a plan take together, on the workers that run them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from mmbench.processes import cores
from mmbench.tools.suite.definition.suite import RunSettings
from mmbench.tools.suite.planning.cell import Cell, PretrainWork
from mmbench.tools.suite.planning.estimate import speed_up
from mmbench.tools.suite.planning.schedule import Schedule


def processes_at_once(run: RunSettings, *, on_gpu: bool) -> int | None:
    """Return for how many processes of a pretraining this host has cores.

    None means for all of them: each has a GPU, or they run on other hosts, which have what was asked for.
    """
    return None if on_gpu or run.executor != "local" else max(1, cores() // run.threads)


def wall_seconds(
    cells: Iterable[Cell], done: Iterable[str], workers: int, at_once: int | None = None
) -> float:
    """Return the wall time of those cells that are not done, on so many workers.

    Args:
        at_once: see `rough_seconds`; a pretraining in several processes takes the cores of as many workers.
    """
    cells, finished = tuple(cells), set(done)
    schedule = Schedule(cells, {cell.id for cell in cells} - finished, finished)
    running: list[tuple[float, int, int, Cell]] = []
    now, number, free = 0.0, 0, workers
    while True:
        while schedule.ready and free:
            cell = schedule.take()
            together = cell.work.processes if isinstance(cell.work, PretrainWork) else 1
            width = 1 if at_once is None else min(workers, speed_up(together, at_once))
            while free < width:
                now, _, given_back, ended = heapq.heappop(running)
                free += given_back
                schedule.finish(ended)
            number, free = number + 1, free - width
            heapq.heappush(running, (now + cell.seconds, number, width, cell))
        if not running:
            return now
        now, _, given_back, ended = heapq.heappop(running)
        free += given_back
        schedule.finish(ended)
