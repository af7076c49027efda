"""`mmbench suite plan`: what would run, what is done, how long the rest takes, and what is missing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mmbench.file_names import counted
from mmbench.processes import cores
from mmbench.tools.doctor_checks import Finding
from mmbench.tools.suite.changed_files import changed_files
from mmbench.tools.suite.definition.stated_effects import require_effects_in
from mmbench.tools.suite.definition.suite import Suite
from mmbench.tools.suite.execution.configuration import gpus
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.held import change_of, refusal
from mmbench.tools.suite.planning.cell import Cell, PretrainWork, TransferWork, Work
from mmbench.tools.suite.planning.estimate import Kind, estimates, speed_up
from mmbench.tools.suite.planning.plan import Plan, done_cells, found_states, plan_of
from mmbench.tools.suite.planning.requirements import missing, requirements
from mmbench.tools.suite.planning.wall_time import processes_at_once, wall_seconds

FORMAT = 1  # of the JSON; a change that readers would notice is a new number


class Overview(NamedTuple):
    """A plan and what is known of it on this machine.

    Attributes:
        states: of the cells that were begun, by id.
        done: ids of the cells that are done.
        kinds: id of a cell -> whether its seconds were measured.
        workers: cells at a time.
        seconds: wall time of what is not done.
        findings: what the plan needs of this machine.
        changed: why `run` refuses to go on in the folder: a line where it holds another suite, and one for
            each file that is not that of the done cells; see `changed_files`.
        on_gpu: whether the estimates are for GPUs.
        at_once: processes of a pretraining that the estimates count with at most; None means all.
    """

    plan: Plan
    folder: SuiteFolder
    states: dict[str, CellState]
    done: frozenset[str]
    kinds: dict[str, Kind]
    workers: int
    seconds: float
    findings: list[Finding]
    changed: tuple[str, ...]
    on_gpu: bool
    at_once: int | None


def workers_of(suite: Suite) -> int:
    """Return how many cells run at a time, as far as that is known before the run."""
    run = suite.run
    if run.executor == "slurm":
        return run.slurm.nodes * run.slurm.jobs * run.slurm.workers_per_node
    if run.workers != "auto":
        return run.workers
    found = len(gpus()) // run.gpus_per_cell if run.gpus_per_cell else 0
    return found or max(1, cores() // run.threads)


def overview(suite: Suite, folder: SuiteFolder, records: tuple[Path, ...] = ()) -> Overview:
    """Return the plan of a suite with what is done and missing, and how long the rest takes.

    Args:
        folder: of the suite, which need not exist.
        records: folders of earlier records, beside the suite's own, for the estimates.

    Raises:
        UserError: the suite that the folder holds cannot be read, or a setting of a new cell has no effect.
    """
    run = suite.run
    elsewhere = run.executor != "local" and "gpus_per_cell" in run.model_fields_set
    on_gpu = bool(run.gpus_per_cell) and (elsewhere or bool(gpus()))
    at_once = processes_at_once(run, on_gpu=on_gpu)
    known = estimates((folder.results, *records), on_gpu=on_gpu, at_once=at_once)
    found: list[Kind] = []  # in the order of the cells

    def seconds_of(work: Work) -> float:
        seconds, kind = known.of(work)
        found.append(kind)
        return seconds

    plan = plan_of(suite, seconds_of)
    kinds = {cell.id: kind for cell, kind in zip(plan.cells, found, strict=True)}
    change = change_of(plan, folder)
    require_effects_in(change.cells)
    another = (refusal(change, folder),) if change.gone else ()
    states = found_states(plan, folder)
    done = done_cells(states)
    workers = workers_of(suite)
    seconds = wall_seconds(plan.cells, done, workers, at_once)
    return Overview(
        plan,
        folder,
        states,
        done,
        kinds,
        workers,
        seconds,
        findings=requirements(plan, folder, workers, done),
        changed=(*another, *changed_files(plan.cells, states, folder)),
        on_gpu=on_gpu,
        at_once=at_once,
    )


def duration(seconds: float) -> str:
    """Return a time for people, such as "3 min" or "12 days".

    >>> duration(4), duration(200), duration(9000), duration(10**6)
    ('4 s', '3 min', '2.5 hours', '12 days')
    """
    for unit, length in (("days", 86400), ("hours", 3600), ("min", 60)):
        if seconds >= 2 * length:
            number = seconds / length
            return f"{number:,.0f} {unit}" if unit == "min" or number >= 10 else f"{number:.1f} {unit}"
    return f"{math.ceil(seconds)} s"


def column_of(cell: Cell, *, of_several: bool = True) -> str:
    """Return the column that a cell belongs to; pretrainings and data have one each.

    Args:
        of_several: whether there are several data sets, so that the column names its own.
    """
    work = cell.work
    if isinstance(work, TransferWork):
        settings = "".join(f" {name}={value}" for name, value in work.settings.items())
        return f"{work.protocol}{settings}" + (f" on {work.data}" if of_several else "")
    return "pretraining" if isinstance(work, PretrainWork) else "data"


def row_of(cell: Cell) -> str:
    """Return the row that a cell belongs to; empty for data."""
    return "" if cell.work.kind == "data" else cell.work.arm


class Counts(NamedTuple):
    """Cells per (row, column), those that are done, and seconds of the rest per column."""

    cells: Counter[tuple[str, str]]
    done: Counter[tuple[str, str]]
    seconds: dict[str, float]

    @property
    def rows(self) -> list[str]:
        """The rows, in the order of the plan."""
        return list(dict.fromkeys(row for row, _ in self.cells if row))

    @property
    def columns(self) -> list[str]:
        """The columns, in the order of the plan."""
        return list(dict.fromkeys(column for _, column in self.cells))


def counts(found: Overview) -> Counts:
    """Count the cells of a plan by row and column."""
    cells, done, seconds = Counter[tuple[str, str]](), Counter[tuple[str, str]](), dict[str, float]()
    several = len({cell.work.data for cell in found.plan.cells if cell.work.kind == "transfer"}) > 1
    for cell in found.plan.cells:
        key = (row_of(cell), column_of(cell, of_several=several))
        cells[key] += 1
        done[key] += cell.id in found.done
        seconds[key[1]] = seconds.get(key[1], 0.0) + (0 if cell.id in found.done else cell.seconds)
    return Counts(cells, done, seconds)


def estimate_words(found: Overview) -> str:
    """Return the estimate in words, and what it is from."""
    left = {cell.id for cell in found.plan.cells if cell.id not in found.done}
    if not left:
        return "everything is done"
    measured = sum(found.kinds[id] == "measured" for id in left)
    machine = "GPUs like a V100" if found.on_gpu else "CPU cores"
    if measured == len(left):
        source = "from earlier records on this hardware"
    elif not measured:
        source = f"a rough guess, for {machine}"
    else:
        source = f"{measured} of {len(left)} cells from earlier records on this hardware, the rest a guess"
    many = f"{counted(found.workers, 'worker')}{_spread_words(found, left)}"
    return f"about {duration(found.seconds)} left on {many} ({source})"


def _spread_words(found: Overview, left: Collection[str]) -> str:
    """Return over how many processes each pretraining that is left is spread, if over several."""
    processes = found.plan.suite.run.pretraining.processes
    pretrains = any(cell.work.kind == "pretrain" and cell.id in left for cell in found.plan.cells)
    if processes == 1 or not pretrains:
        return ""
    faster = speed_up(processes, found.at_once)
    cores_words = "" if faster == processes else f", on the cores of {faster}"
    return f", each pretraining in {processes} processes{cores_words}"


def as_json(found: Overview) -> dict[str, Any]:
    """Return everything of a plan as JSON values.

    format: `FORMAT`. suite, title, folder: what is planned, and where. cells, done: numbers of cells.
    seconds_left: wall time of the rest on `workers` workers; cell_seconds_left: its sum over cells, of which
    `measured` are estimated from earlier records of this hardware and `rough` are guessed. missing: what,
    detail and fix of each thing that this machine lacks. changed: a line where the folder holds another
    suite, and one for each file of weights and each protocol file that is not that of the done cells. notes:
    what is left out. counts: cells and done for each row and column. work: id, name, kind ("data", "pretrain"
    or "transfer"), after (ids of the cells that must be done first), seconds, estimate ("measured" or
    "rough") and done of each cell.
    """
    numbers, plan = counts(found), found.plan
    left = [cell for cell in plan.cells if cell.id not in found.done]
    return {
        "format": FORMAT,
        "suite": plan.suite.name,
        "title": plan.suite.title,
        "folder": str(found.folder.root),
        "cells": len(plan.cells),
        "done": len(found.done),
        "seconds_left": round(found.seconds, 1),
        "cell_seconds_left": round(sum(cell.seconds for cell in left), 1),
        "measured": sum(found.kinds[cell.id] == "measured" for cell in left),
        "rough": sum(found.kinds[cell.id] == "rough" for cell in left),
        "workers": found.workers,
        "missing": [
            {"what": one.name, "detail": one.detail, "fix": one.fix} for one in missing(found.findings)
        ],
        "changed": list(found.changed),
        "notes": list(plan.notes),
        "counts": [
            {
                "row": row,
                "column": column,
                "cells": numbers.cells[row, column],
                "done": numbers.done[row, column],
            }
            for row, column in numbers.cells
        ],
        "work": [
            {
                "id": cell.id,
                "name": cell.name,
                "kind": cell.work.kind,
                "after": list(cell.after),
                "seconds": round(cell.seconds, 1),
                "estimate": found.kinds[cell.id],
                "done": cell.id in found.done,
            }
            for cell in plan.cells
        ],
    }


def lines(found: Overview) -> Iterator[str]:
    """Yield the lines below the table: estimate, notes, and what is missing."""
    yield estimate_words(found)
    yield from found.plan.notes
    if found.changed:
        yield f"changed since cells were measured ({len(found.changed)}), so that `run` refuses to go on:"
        yield from (f"  {line}" for line in found.changed)
    lacking = missing(found.findings)
    if lacking:
        yield f"missing on this machine ({len(lacking)}):"
        for one in lacking:
            yield f"  {one.name}: {one.detail}"
            if one.fix:
                yield f"    -> {one.fix}"
    else:
        yield "nothing is missing on this machine"
