"""Run a suite of cheap cells as a process of its own: FOLDER SUITE."""

from __future__ import annotations

import sys
from pathlib import Path

from cheap_cells import PERFORM, cell, plan
from parsl.providers import LocalProvider

from mmbench.tools.suite.execution import configuration
from mmbench.tools.suite.execution.driver import run_cells
from mmbench.tools.suite.folder import SuiteFolder
from mmbench.tools.suite.planning.cell import Cell


class Lines:
    """An observer that prints what is said."""

    def update(self, states: object) -> None:
        """Take no note."""

    def say(self, line: str) -> None:
        """Print a line."""
        print(line, flush=True)


def suite(name: str) -> list[Cell]:
    """Return the cells of a suite: "gates" has two that wait with two after each, "many" has twelve."""
    if name == "many":
        return [cell(f"cell{number}", "gate" if number < 4 else "sleep-0.1") for number in range(12)]
    gates = [cell("one", "gate"), cell("two", "gate")]
    return [*gates, *(cell(f"{one.name}-{part}", "sleep-0.1", (one,)) for one in gates for part in "ab")]


if __name__ == "__main__":
    # What was killed is noticed sooner than by default.
    configuration.BEAT_SECONDS = LocalProvider.status_polling_interval = 1
    try:
        run_cells(
            plan(suite(sys.argv[2]), retries=5),
            SuiteFolder(Path(sys.argv[1])),
            observer=Lines(),
            perform=PERFORM,
        )
    except KeyboardInterrupt:
        print("interrupted", flush=True)
