"""The plan of a suite: its cells, what each waits for, and which are done."""

from __future__ import annotations

from typing import NamedTuple

from mmbench.tools.suite.cell import Cell
from mmbench.tools.suite.folder import SuiteFolder
from mmbench.tools.suite.suite import Suite


class Plan(NamedTuple):
    """The cells of a suite in the order of their dependencies."""

    suite: Suite
    cells: tuple[Cell, ...]


def plan_of(suite: Suite) -> Plan:
    """Return the cells of a suite.

    Raises:
        UserError: the suite cannot be meant.
    """
    raise NotImplementedError


def is_done(cell: Cell, folder: SuiteFolder) -> bool:
    """Return whether a cell is done: its state says so, and what it left is there and fits."""
    state = folder.state(cell.id)
    return (
        state is not None
        and state.status == "done"
        and (not state.left or (folder.root / state.left).exists())
    )
