"""The driver: gives the cells of a plan to workers, each as soon as what it waits for is done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.plan import Plan

Only = Literal["missing", "failed", "all"]


class Observer(Protocol):
    """Who watches a run; called in the driver's main thread."""

    def update(self, states: Mapping[str, CellState]) -> None:
        """Take note of the states, by the id of the cell, that changed; at most 4 times a second."""

    def say(self, line: str) -> None:
        """Show a line to the user."""


def run_cells(
    plan: Plan, folder: SuiteFolder, *, only: Only = "missing", fail_fast: bool = False, observer: Observer
) -> None:
    """Run the cells of a plan; afterwards the states of the folder tell what failed.

    Args:
        only: "missing" runs what is not done, "failed" the failed cells and those that wait for them, "all"
            looks at every cell again and reuses what is there.
        fail_fast: stop at the first cell that fails.
        observer: is shown what changes.

    Raises:
        UserError: the engine cannot be started, or is lost again and again.
        KeyboardInterrupt: Ctrl-C or SIGTERM; trainings are saved, and the same call goes on.
    """
    raise NotImplementedError
