"""The plan of a suite: its cells, what each waits for, and which are done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from mmbench.errors import UserError
from mmbench.tools.suite.definition.resolve import Column, Resolved, measured_seeds, resolve
from mmbench.tools.suite.definition.rows import Row
from mmbench.tools.suite.definition.suite import Suite
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.planning.cell import Cell, DataWork, PretrainWork, TransferWork, Work

MOST_CELLS = 100_000


class Plan(NamedTuple):
    """The cells of a suite in the order of their dependencies.

    Attributes:
        notes: what is left out, and why.
    """

    suite: Suite
    cells: tuple[Cell, ...]
    notes: tuple[str, ...] = ()


Estimate = Callable[[Work], float]


def plan_of(suite: Suite, estimate: Estimate | None = None) -> Plan:
    """Return the cells of a suite: data, then pretrainings, then transfers column by column.

    Args:
        estimate: seconds of a piece of work; None takes the rough costs.

    Raises:
        UserError: the suite cannot be meant, or has too many cells.
    """
    if estimate is None:
        from mmbench.tools.suite.planning.estimate import rough_seconds

        estimate = rough_seconds
    resolved = resolve(suite)
    columns = [column for column in resolved.columns if not column.stated.optional]
    measured = {name for column in columns for name in column.rows}
    rows = [row for row in resolved.rows.values() if row.name in measured]
    count = sum(
        column.draws * len(measured_seeds(column.stated, resolved.rows[name]))
        for column in columns
        for name in column.rows
    )
    if count > MOST_CELLS:
        raise UserError(f"suite {suite.name} has {count:,} transfers, more than {MOST_CELLS:,}; split it")
    cells: list[Cell] = []
    ids: dict[str, str] = {}  # name of a cell -> its id

    def add(name: str, work: Work, *after: str) -> None:
        cell = Cell(name=name, work=work, after=tuple(ids[one] for one in after), seconds=estimate(work))
        ids[name] = cell.id
        cells.append(cell)

    for data in dict.fromkeys((*(row.data for row in rows if row.recipe), *(c.data.name for c in columns))):
        add(_data_name(data), DataWork(data=data))
    pretrainings: dict[tuple[str, int], PretrainWork] = {}
    for _, seed, row in _by_position(rows):
        if row.kind == "pretrain":
            work = pretrainings[row.name, seed] = _pretraining(row, seed, suite.run.pretraining.processes)
            add(_weights_name(row, seed), work, _data_name(row.data))
    for column in columns:
        for name, row, transfer in _transfers(column, resolved, pretrainings):
            after = [_weights_name(row, transfer.weights_seed)] if row.kind == "pretrain" else []
            if row.kind != "pretrain" or row.data != column.data.name:
                after.append(_data_name(column.data.name))
            add(name, transfer, *after)
    return Plan(suite, tuple(cells), tuple(_notes(resolved)))


def _data_name(data: str) -> str:
    return f"data {data}"


def _weights_name(row: Row, seed: int) -> str:
    """Return what the weights of a row are called in the names of cells: files have no seeds."""
    return f"{row.name}-seed{seed}" if row.kind != "fixed" or row.arm.checkpoint == "pixels" else row.name


def _by_position(rows: Iterable[Row]) -> Iterator[tuple[int, int, Row]]:
    """Yield (position, seed, row), the first seed of every row before the second of any."""
    rows = list(rows)
    for position in range(max((len(row.seeds) for row in rows), default=0)):
        for row in rows:
            if position < len(row.seeds):
                yield position, row.seeds[position], row


def _pretraining(row: Row, seed: int, processes: int) -> PretrainWork:
    stated = row.arm.pretrain
    assert stated is not None
    return PretrainWork(
        arm=row.name,
        seed=seed,
        data=row.data,
        method=stated.method,
        scale=stated.scale,
        arch=row.arch,
        epochs=stated.epochs,
        settings=stated.settings,
        processes=processes,
    )


def _transfers(
    column: Column, resolved: Resolved, pretrainings: Mapping[tuple[str, int], PretrainWork]
) -> Iterator[tuple[str, Row, TransferWork]]:
    """Yield (name, row, work) of a column.

    The seed of a transfer is the position of the pretraining seed x draws + draw: all rows share label
    subsets, and different pretraining seeds have different ones.
    """
    named = f"{column.task.named}{_settings_words(column)}"
    on = f" on {column.data.name}" if len({other.data.name for other in resolved.columns}) > 1 else ""
    rows = [resolved.rows[name] for name in column.rows]
    measured = {row.name: frozenset(measured_seeds(column.stated, row)) for row in rows}
    for position, seed, row in _by_position(rows):
        if (position, seed) not in measured[row.name]:
            continue
        for draw in range(column.draws):
            transfer_seed = position * column.draws + draw
            work = TransferWork(
                arm=row.name,
                weights=pretrainings[row.name, seed] if row.kind == "pretrain" else str(row.arm.checkpoint),
                weights_seed=seed,
                arch=None if row.kind == "pretrain" else row.arch,
                data=column.data.name,
                task=column.task.entry.name,
                protocol=column.task.named,
                settings=column.stated.settings,
                seed=transfer_seed,
            )
            yield f"{_weights_name(row, seed)} {named}{on} seed{transfer_seed}", row, work


def _settings_words(column: Column) -> str:
    settings = column.stated.settings
    return "".join(f" {name}={json.dumps(value)}" for name, value in settings.items())


def _notes(resolved: Resolved) -> Iterator[str]:
    """Yield what is left out, once per reason."""
    left_out: dict[tuple[str, str], dict[str, None]] = {}
    for column in resolved.columns:
        for name, reason in () if column.stated.optional else column.left_out:
            left_out.setdefault((name, reason), {})[column.task.entry.name] = None
    for (name, reason), tasks in left_out.items():
        yield f"left out: {name} on {', '.join(tasks)} ({reason})"
    optional = dict.fromkeys(c.task.entry.name for c in resolved.columns if c.stated.optional)
    if optional:
        yield f"left out: optional tasks ({', '.join(optional)})"


def found_states(plan: Plan, folder: SuiteFolder) -> dict[str, CellState]:
    """Return what is known of the plan's cells, by id; done ones whose result is gone are left out."""
    cells = {cell.id: cell for cell in plan.cells}
    return {
        state.id: state
        for state in folder.states()
        if state.id in cells and (state.status != "done" or is_done(cells[state.id], state, folder))
    }


def done_cells(states: Mapping[str, CellState]) -> frozenset[str]:
    """Return the ids of those cells that are done.

    Args:
        states: as `found_states` returns them.
    """
    return frozenset(id for id, state in states.items() if state.status == "done")


def is_done(cell: Cell, state: CellState | None, folder: SuiteFolder) -> bool:
    """Return whether a cell is done: its state says so, and what it left is there and fits."""
    if state is None or state.status != "done":
        return False
    left = folder.root / state.left
    if cell.work.kind == "pretrain":
        return all((left / name).is_file() for name in ("model.safetensors", "card.json"))
    return not state.left or left.exists()
