"""What a suite means: its rows and columns, every name looked up and every setting checked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmbench.errors import UserError, shown, unknown_name
from mmbench.records.record import CUSTOM
from mmbench.tools.suite.definition.data_facts import DataFacts, facts_of
from mmbench.tools.suite.definition.rows import Row, require_different, rows_of, within
from mmbench.tools.suite.definition.suite import Suite, SuiteTask
from mmbench.transfer.resolution import ResolvedTask, resolve_task

EXECUTORS = ("local", "slurm")


class Column(NamedTuple):
    """A task on one data set, and who is measured.

    Attributes:
        stated: as the suite states it.
        rows: names of the rows that are measured.
        left_out: (name, why) of rows that the task cannot take.
        draws: transfers per row and pretraining seed.
    """

    stated: SuiteTask
    task: ResolvedTask
    data: DataFacts
    rows: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    draws: int


class Resolved(NamedTuple):
    """A suite's rows by name, and its columns."""

    rows: dict[str, Row]
    columns: tuple[Column, ...]


def resolve(suite: Suite) -> Resolved:
    """Return rows and columns of a suite.

    Raises:
        UserError: something in it cannot be meant; the message says what and where.
    """
    _check_data(suite.data)
    require_different("seed", suite.seeds, "seeds")
    rows = rows_of(suite)
    if suite.baseline is not None and suite.baseline not in rows:
        raise unknown_name("arm", suite.baseline, rows) if rows else UserError("baseline: no arms")
    if suite.run.executor not in EXECUTORS and not suite.run.executor.endswith(".py"):
        raise UserError(
            f"{unknown_name('executor', suite.run.executor, EXECUTORS)}; or the path of a Parsl "
            "configuration file (*.py)"
        )
    if suite.run.pretraining.nodes > 1 and suite.run.executor != "slurm":
        raise UserError(
            f"run.pretraining.nodes is {suite.run.pretraining.nodes}, and only Slurm starts jobs on several "
            "nodes; set run.executor: slurm, or nodes: 1"
        )
    columns: list[Column] = []
    seen: dict[str, str] = {}
    on_board: dict[tuple[str, ...], tuple[str, Column]] = {}
    for number, stated in enumerate(suite.tasks, 1):
        where = f"task {number} ({stated.task})"
        with within(where):
            for column in _columns(suite, stated, rows):
                key = _identity(column)
                if key in seen:
                    raise UserError(
                        f"it is the same column as {seen[key]} ({column.task.protocol.id} on "
                        f"{column.data.name}); remove one of them"
                    )
                seen[key] = where
                if not stated.optional:
                    _require_one_board(column, where, on_board)
                columns.append(column)
    for row in rows.values():
        if not any(row.name in column.rows for column in columns):
            why = dict.fromkeys(reason for c in columns for name, reason in c.left_out if name == row.name)
            reason = "; ".join(why) or "every task leaves it out"
            raise UserError(
                f"arm '{row.name}' is measured on no task ({reason}); add a task or remove the arm"
            )
    return Resolved(rows, tuple(columns))


def _check_data(names: Sequence[str]) -> None:
    """Check the data sets of a suite: known, and called differently in records."""
    require_different("data set", names, "data")
    called: dict[str, str] = {}
    for name in names:
        with within("data"):
            facts = facts_of(name)
        short = Path(facts.name).name
        if short in called:
            raise UserError(
                f"data: {shown(called[short])} and {shown(name)} are both called '{short}' in records; "
                "remove one of them or rename its folder"
            )
        called[short] = name


def _columns(suite: Suite, stated: SuiteTask, rows: dict[str, Row]) -> Iterator[Column]:
    """Yield a column for each data set that the task fits."""
    for field, names, known in (
        ("arms", stated.arms or (), rows),
        ("without", stated.without, rows),
        ("data", stated.data or (), suite.data),
    ):
        require_different("name", names, field)
        for name in names:
            if name not in known:
                raise unknown_name("data set of this suite" if field == "data" else "arm", name, known)
    if not isinstance(stated.seeds, int | None):
        require_different("seed", stated.seeds, "seeds")
    found, misfits = 0, []
    for data in stated.data or suite.data:
        facts = facts_of(data)
        task = resolve_task(stated.task, stated.protocol, stated.settings, data)
        if misfit := _misfit(task, facts):
            if stated.data is not None:
                raise UserError(misfit)
            misfits.append(misfit)
            continue
        found += 1
        yield _column(stated, task, facts, rows)
    if not found:
        raise UserError(f"none of the suite's data sets fits: {'; '.join(misfits)}")


def _misfit(task: ResolvedTask, data: DataFacts) -> str | None:
    """Return why a task cannot be measured on a data set; None if it can, as far as is known."""
    if data.kinds is not None and task.entry.data not in data.kinds:
        return f"data set '{data.name}' has no {task.entry.data}"
    if task.entry.dense or data.multilabel is None or data.multilabel == task.protocol.multilabel:
        return None
    several, one = f"images of '{data.name}' have several labels", f"images of '{data.name}' have one label"
    return f"{several if data.multilabel else one}, and {task.protocol.id} is for " + (
        "one" if data.multilabel else "several"
    )


def _column(stated: SuiteTask, task: ResolvedTask, data: DataFacts, rows: dict[str, Row]) -> Column:
    measured, left_out = [], []
    for row in rows.values():
        if row.name in stated.without or (stated.arms is not None and row.name not in stated.arms):
            continue
        if row.arm.checkpoint == "pixels" and not task.entry.frozen:
            left_out.append((row.name, "the task trains a backbone, and raw pixels have none"))
            continue
        measured.append(row.name)
        if row.kind != "fixed":
            measured_seeds(stated, row)
    if stated.arms is not None and left_out:
        raise UserError(f"arm '{left_out[0][0]}': {left_out[0][1]}")
    if not measured:
        raise UserError("no arm is measured; " + (left_out[0][1] if left_out else "all are left out"))
    draws = stated.draws or task.protocol.trials
    return Column(stated, task, data, tuple(measured), tuple(left_out), draws)


def measured_seeds(stated: SuiteTask, row: Row) -> tuple[tuple[int, int], ...]:
    """Return (position, seed) of those seeds of a row that a task measures.

    Raises:
        UserError: the row has not so many, or not these.
    """
    pairs = tuple(enumerate(row.seeds))
    if stated.seeds is None or row.kind == "fixed":
        return pairs
    if isinstance(stated.seeds, int):
        if stated.seeds > len(pairs):
            raise UserError(f"seeds: {stated.seeds} are asked for, and arm '{row.name}' has {len(pairs)}")
        return pairs[: stated.seeds]
    for seed in stated.seeds:
        if seed not in row.seeds:
            own = ", ".join(map(str, row.seeds))
            raise UserError(f"seeds: {seed} is not a seed of arm '{row.name}' (it has {own})")
    return tuple((position, seed) for position, seed in pairs if seed in stated.seeds)


def _require_one_board(column: Column, where: str, found: dict[tuple[str, ...], tuple[str, Column]]) -> None:
    """Check that a board can show a column beside those before it, which it compares by protocol and data.

    Args:
        found: takes the first column of each protocol, and of each version of one on a data set, with where
            it is stated.

    Raises:
        UserError: another version of its protocol is there, or the same one with other settings.
    """
    protocol, ending = column.task.protocol.id, CUSTOM if column.task.settings.customised else ""
    place, other = found.setdefault((protocol.partition("@")[0] + ending,), (where, column))
    apart = "measure it in a suite of its own"
    if other.task.protocol.id != protocol:
        raise UserError(
            f"{protocol} is another version of {other.task.protocol.id} ({place}), and a board does not "
            f"compare versions; state the same version in both, or {apart}"
        )
    place, other = found.setdefault((protocol + ending, column.data.name), (where, column))
    if other is not column:
        there, here = other.task.settings.recorded(), column.task.settings.recorded()
        differing = [name for name in {**there, **here} if there.get(name) != here.get(name)]
        words = "; ".join(
            f"{name} {shown(there.get(name))} there, {shown(here.get(name))} here" for name in differing
        )
        raise UserError(
            f"{protocol} on {column.data.name} has other settings in {place} ({words}), and a board has one "
            f"column for both; remove one of them, {apart}, or write its settings into a protocol file with "
            "an id of its own"
        )


def _identity(column: Column) -> str:
    """Return what decides a column's numbers, however it is spelled."""
    values: Any = [column.task.protocol.id, column.task.settings.recorded(), column.data.name]
    return json.dumps(values, sort_keys=True)
