"""The suite that a folder holds: found, written, and compared with the one that is to run there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mmbench.errors import UserError, shown, typed
from mmbench.files import write_text
from mmbench.settings.values import yaml_text
from mmbench.tools.suite.definition.suite import Suite
from mmbench.tools.suite.definition.suite_file import read_suite, shipped_suites
from mmbench.tools.suite.folder import SuiteFolder
from mmbench.tools.suite.planning.cell import Cell, PretrainWork, TransferWork
from mmbench.tools.suite.planning.plan import Plan, plan_of

MOST_LINES = 4  # of differences in one message


def suite_and_folder(spec: str, out: Path | None) -> tuple[Suite, SuiteFolder]:
    """Return the suite that is to run, and where.

    Args:
        spec: a shipped name, a YAML file, or the folder of a suite that was begun.
        out: the folder; None takes the name of the suite.

    Raises:
        UserError: see `read_suite`.
    """
    if spec not in shipped_suites() and holds_suite(Path(spec)):
        return read_suite(str(SuiteFolder(Path(spec)).suite)), SuiteFolder(out or Path(spec))
    suite = read_suite(spec)
    return suite, SuiteFolder(out or Path(suite.name))


class Begun(NamedTuple):
    """A suite that was begun, as its folder states it.

    Attributes:
        remark: what differs from the file that was named; "" if nothing, or if the folder was named.
    """

    suite: Suite
    folder: SuiteFolder
    remark: str = ""


def begun(spec: str) -> Begun:
    """Return a suite that was begun.

    Args:
        spec: its folder; or a shipped name or YAML file, whose folder has the suite's name.

    Raises:
        UserError: there is none.
    """
    folder = SuiteFolder(Path(spec))
    remark = ""
    if not holds_suite(folder.root):
        if spec not in shipped_suites() and _is_folder(folder.root):
            raise UserError(f"{typed(spec)} is not the folder of a suite: it holds no {folder.suite.name}")
        suite, folder = suite_and_folder(spec, None)
        if not holds_suite(folder.root):
            raise UserError(
                f"nothing of suite {suite.name} was run in {typed(str(folder.root))}; name its folder, or "
                f"start it with: mmbench suite run {typed(spec)}"
            )
        remark = _remark(plan_of(suite), folder, typed(spec))
    return Begun(read_suite(str(folder.suite)), folder, remark)


def _remark(plan: Plan, folder: SuiteFolder, file: str) -> str:
    root, change = typed(str(folder.root)), change_of(plan, folder)
    if change.gone:
        return f"{root} holds another suite than {file}, and this is the one of the folder: {change.gone}"
    return change.new and f"{root} does not hold all of {file} yet: {change.new}"


def holds_suite(path: Path) -> bool:
    """Return whether a folder holds a suite that was begun."""
    try:
        return SuiteFolder(path).suite.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def hold(plan: Plan, folder: SuiteFolder) -> str | None:
    """Write the suite into its folder; return what it has grown by, if the folder holds a part of it.

    A cell is named by its content, so new arms, tasks and seeds leave the others as they are.

    Raises:
        UserError: the folder holds another suite; the message says what differs.
    """
    change = change_of(plan, folder)
    if change.gone:
        raise UserError(refusal(change, folder))
    values = plan.suite.model_dump(mode="json", exclude_defaults=True)
    text = yaml_text(values)
    if not folder.suite.is_file() or folder.suite.read_text(encoding="utf-8") != text:
        write_text(folder.suite, text)
    return change.new or None


class Change(NamedTuple):
    """How a suite differs from the one that a folder holds, in words; "" where it does not.

    Attributes:
        gone: what the folder's suite has and this one has not, or has otherwise.
        new: by what it has grown.
        cells: those that are new; all where the folder holds no suite.
    """

    gone: str = ""
    new: str = ""
    cells: tuple[Cell, ...] = ()


def change_of(plan: Plan, folder: SuiteFolder) -> Change:
    """Return how a suite differs from the one that a folder holds, if it holds one.

    Raises:
        UserError: the suite that the folder holds cannot be read.
    """
    if not holds_suite(folder.root):
        return Change(cells=plan.cells)
    there = plan_of(read_suite(str(folder.suite))).cells
    before, now = {cell.id: cell for cell in there}, {cell.id: cell for cell in plan.cells}
    gone = [cell for id, cell in before.items() if id not in now]
    new = [cell for id, cell in now.items() if id not in before]
    differences = list(dict.fromkeys(_differences(gone, plan.cells))) or [cell.name for cell in gone]
    more = f"; and {len(differences) - MOST_LINES} more" if len(differences) > MOST_LINES else ""
    words = "; ".join(_only_in(new, there)) or "".join(cell.name for cell in new[:1])
    grown = f"the suite has grown by {len(new)} cell{'s' if len(new) > 1 else ''} ({words})" if new else ""
    return Change("; ".join(differences[:MOST_LINES]) + more, grown, tuple(new))


def refusal(change: Change, folder: SuiteFolder) -> str:
    """Return why a suite cannot run in a folder whose suite has what it has not."""
    root = typed(str(folder.root))
    return (
        f"{root} holds another suite: {change.gone}; choose another folder with --out, or go on with what it "
        f"holds: mmbench suite run {root}"
    )


def _differences(gone: Iterable[Cell], here: Iterable[Cell]) -> Iterator[str]:
    """Yield what the folder's suite has and this one has not."""
    yield from (f"{words} there and not here" for words in _only_in(gone, here))
    named = {cell.name: cell for cell in here}
    changed = [cell for cell in gone if cell.name in named]
    causes = {cell.id for cell in changed}
    for cell in changed:
        if not causes.intersection(cell.after):  # what follows from a difference is not one of its own
            yield from _fields(_values(cell), _values(named[cell.name]), cell.name)
    unnamed = [cell.name for cell in gone if cell.name not in named]
    if unnamed and not list(_only_in(gone, here)):
        yield f"{unnamed[0]} there and not here"


def _fields(there: dict[str, Any], here: dict[str, Any], name: str) -> Iterator[str]:
    for field, value in there.items():
        if here.get(field) != value:
            yield f"{name}: {field} {shown(value)} there, {shown(here.get(field))} here"


def _values(cell: Cell) -> dict[str, Any]:
    """Return every field of a cell's work, those that ids leave out too."""
    return {**dict(cell.work), **cell.work.model_dump()}


def _only_in(cells: Iterable[Cell], others: Iterable[Cell]) -> list[str]:
    """Return which arms, seeds, data sets and protocols some cells have and others have not, in words."""
    mine, theirs = _parts(cells), _parts(others)
    found = []
    for kind, values in mine.items():
        if extra := [str(value) for value in values if value not in theirs[kind]]:
            found.append(f"{kind} {', '.join(extra)}")
    return found


def _parts(cells: Iterable[Cell]) -> dict[str, dict[object, None]]:
    parts: dict[str, dict[object, None]] = {"arms": {}, "seeds": {}, "data": {}, "protocols": {}}
    for cell in cells:
        work = cell.work
        parts["data"][work.data] = None
        if isinstance(work, PretrainWork | TransferWork):
            parts["arms"][work.arm] = None
        if isinstance(work, PretrainWork):
            parts["seeds"][work.seed] = None
        elif isinstance(work, TransferWork):
            parts["seeds"][work.weights_seed] = None
            parts["protocols"][work.protocol] = None
    return parts
