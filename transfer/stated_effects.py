"""Settings that a user states are to have an effect, unless records here were measured with the same."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mmbench.errors import UserError
from mmbench.records.files import ENDING
from mmbench.records.store import ResultStore, read_result
from mmbench.transfer.resolution import ResolvedTask


def require_stated_effects(tasks: Iterable[ResolvedTask], out: Path) -> None:
    """Check that what a user states of each task has an effect.

    Earlier versions did not check that. A study that they began goes on: its commands find their records,
    and what is measured beside these stays comparable with them.

    Args:
        out: folder of the records.

    Raises:
        UserError: a setting has none, and no record of the protocol in `out` was measured with it.
    """
    for task in tasks:
        try:
            task.require_effects()
        except UserError:
            if not _measured_with(task, out):
                raise


def _measured_with(task: ResolvedTask, out: Path) -> bool:
    """Return whether a record in `out` is of the task's protocol and has what is stated of it."""
    settings = task.settings.recorded()
    stated = {name: settings[name] for name in ("library", *task.overrides) if name in settings}
    for path in sorted(out.glob(f"*/{ResultStore.folder_of(task.protocol_id)}/*{ENDING}")):
        try:
            config = read_result(path).config
        except UserError:
            continue  # a damaged record is reported where it would be used
        if all(name in config and config[name] == value for name, value in stated.items()):
            return True
    return False
