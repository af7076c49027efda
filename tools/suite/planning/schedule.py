"""The order of cells: each as soon as what it waits for is done, pretrainings first, then the longest."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable

from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.planning.cell import Cell

RANKS = {"data": 0, "pretrain": 1, "transfer": 2}


class Schedule:
    """What is still to be run.

    Args:
        cells: the plan's.
        chosen: ids of those that are to be run.
        done: ids of those that are done and not to be run.
    """

    def __init__(self, cells: Iterable[Cell], chosen: Collection[str], done: Collection[str]) -> None:
        self._cells = {cell.id: cell for cell in cells}
        self._left = {id: cell for id, cell in self._cells.items() if id in chosen}
        self._missing: dict[str, int] = {}
        self._after: dict[str, list[str]] = {}
        self._ready: list[tuple[int, float, int, str]] = []
        self._places = {id: number for number, id in enumerate(self._cells)}
        for cell in self._left.values():
            waits_for = [id for id in cell.after if id not in done or id in chosen]
            self._missing[cell.id] = len(waits_for)
            for id in waits_for:
                self._after.setdefault(id, []).append(cell.id)
            if not waits_for:
                self.put(cell)

    @property
    def left(self) -> int:
        """How many cells are not finished."""
        return len(self._left)

    @property
    def ready(self) -> bool:
        """Whether a cell can be taken."""
        return bool(self._ready)

    def put(self, cell: Cell) -> None:
        """Let a cell be taken, now or again."""
        rank = RANKS[cell.work.kind]
        heapq.heappush(self._ready, (rank, -cell.seconds, self._places[cell.id], cell.id))

    def take(self) -> Cell:
        """Return the next cell that can run; ask `ready` first."""
        return self._cells[heapq.heappop(self._ready)[-1]]

    def finish(self, cell: Cell) -> None:
        """Let the cells that wait for this one run, when they wait for no other."""
        if self._left.pop(cell.id, None) is None:
            return
        for id in self._after.get(cell.id, ()):
            self._missing[id] -= 1
            if not self._missing[id]:
                self.put(self._cells[id])

    def blocked(self) -> dict[str, list[Cell]]:
        """Return the cells that wait for one that is not done, by the id of that one."""
        found: dict[str, list[Cell]] = {}
        for cell in self._left.values():
            for id in cell.after:
                if self._missing[cell.id] and (id in self._left or cell.id in self._after.get(id, ())):
                    found.setdefault(id, []).append(cell)
                    break
        return found

    def states(self, folder: SuiteFolder) -> list[CellState | None]:
        """Return the states of the cells that are not finished."""
        return [folder.state(id) for id in self._left]

    def cell(self, id: str) -> Cell | None:
        """Return the cell with an id."""
        return self._cells.get(id)
