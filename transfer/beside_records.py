"""What is asked for beside records that are there: settings without effect, other versions of protocols."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mmbench.errors import UserError
from mmbench.records.files import ENDING
from mmbench.records.record import CUSTOM
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


def version_remarks(tasks: Iterable[ResolvedTask], out: Path) -> list[str]:
    """Return a line for each protocol of which `out` holds records of other versions.

    No board holds a protocol in two versions.

    Args:
        out: folder of the records.
    """
    there, lines = _protocols_in(out), []
    for protocol in dict.fromkeys(task.protocol.id for task in tasks):
        family, _, version = protocol.rpartition("@")
        others = {
            name.rpartition("@")[2].removesuffix(CUSTOM)
            for name in there
            if name.rpartition("@")[0] == ResultStore.folder_of(family)
        } - {version}
        if others:
            ids = " and ".join(f"{family}@{other}" for other in sorted(others))
            lines.append(
                f"{out} holds records of {ids}, and no board shows them beside {protocol}; --protocol states "
                "the version, --out another folder"
            )
    return lines


def _protocols_in(out: Path) -> set[str]:
    """Return the names of the folders, one per protocol, that hold records."""
    return {path.parent.name for path in out.glob(f"*/*@*/*{ENDING}")}


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
