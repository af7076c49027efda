"""How often the workers of cells were lost."""

from __future__ import annotations

import os
import time

from mmbench.errors import one_line
from mmbench.processes import host_name
from mmbench.tools.suite.execution.executor import is_loss
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.planning.cell import Cell


class Losses:
    """Counts, for each cell, the losses of its worker since it last made progress.

    Args:
        retries: losses after which a cell may run again.
    """

    def __init__(self, retries: int) -> None:
        self._retries = retries
        self._counts: dict[str, tuple[int, int]] = {}  # and how far the cell was

    def may_go_on(self, cell: Cell, state: CellState | None, error: BaseException) -> bool:
        """Count a loss; return whether the cell may run again."""
        if not is_loss(error):
            return False
        if state is not None and state.status in ("done", "stopped"):
            return True  # only the answer was lost, or the cell had saved and stopped
        count, before = self._counts.get(cell.id, (0, 0))
        done = 0 if state is None else state.done
        count = 1 if done > before else count + 1
        self._counts[cell.id] = (count, max(done, before))
        return count <= self._retries

    def failure(
        self, cell: Cell, state: CellState | None, error: BaseException, folder: SuiteFolder
    ) -> CellState:
        """Return the state of a cell that may not run again."""
        if is_loss(error):
            count = self._counts[cell.id][0]
            log = folder.log(cell.id)
            line = f"its worker was killed {count} times in a row (out of memory?); see {log}"
        else:
            line = one_line(f"{type(error).__name__}: {error}", 1000)
        now = time.time()
        begun = state or CellState(
            id=cell.id,
            name=cell.name,
            status="failed",
            host=host_name(),
            pid=os.getpid(),
            started=now,
            changed=now,
        )
        return begun.model_copy(update={"status": "failed", "error": line, "changed": now})
