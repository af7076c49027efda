"""Whether the data that are there are still those of the done cells of a suite."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

from mmbench.errors import UserError, typed
from mmbench.processes import end_with_parent
from mmbench.tasks import TASKS
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.tools.suite.planning.cell import Cell, TransferWork

Part = Literal["images", "labels", "boxes", "label maps"]  # of a data set; each has its own fingerprint


class Measured(NamedTuple):
    """A part of a data set, and the fingerprint that it had when cells were done."""

    data: str
    part: Part
    fingerprint: str


def require_same_data(
    cells: tuple[Cell, ...], states: Mapping[str, CellState], folder: SuiteFolder, data_root: Path
) -> None:
    """Check that the data sets of what is measured now are those of what is done.

    Args:
        states: of the cells that were begun, by id; a done one whose result is gone is not among them.

    Raises:
        UserError: a data set is not the one of the done cells; nothing is changed.
    """
    measured = tuple(dict.fromkeys(_measured(finished(cells, states))))
    if not measured:
        return
    # A process of its own: reading data loads torch, and a driver is to stay small.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, end_with_parent) as pool:
        for one in pool.submit(changed, measured, data_root).result():
            raise UserError(
                f"data set {one.data} ({one.part}) is not the one that {typed(str(folder.root))} was "
                "measured on (its fingerprint changed); restore it, or choose another folder with --out"
            )


def finished(cells: tuple[Cell, ...], states: Mapping[str, CellState]) -> list[tuple[Cell, CellState]]:
    """Return the done cells with their states."""
    begun = [(cell, states[cell.id]) for cell in cells if cell.id in states]
    return [(cell, state) for cell, state in begun if state.status == "done"]


def _measured(finished: Sequence[tuple[Cell, CellState]]) -> Iterator[Measured]:
    """Yield the data that cells were measured on, as their states say.

    Data that are not there any more are left out: a cell finds them, or renders them again.
    """
    there = {cell.work.data for cell, _ in finished if cell.work.kind == "data"}
    for cell, state in finished:
        work = cell.work
        if not state.fingerprint or work.data not in there:
            continue
        if work.kind == "data":
            yield Measured(work.data, "images", state.fingerprint)
        elif isinstance(work, TransferWork):
            yield Measured(work.data, TASKS.get(work.task).data, state.fingerprint)


def changed(measured: tuple[Measured, ...], data_root: Path) -> list[Measured]:
    """Return what of some data sets has another fingerprint now.

    Raises:
        UserError: a data set cannot be read.
    """
    from mmbench.data import load_dataset

    datasets = {data: load_dataset(data, data_root) for data in {one.data for one in measured}}
    found = []
    for one in measured:
        dataset = datasets[one.data]
        if one.part == "boxes":
            now = dataset.require_annotated().fingerprint()
        elif one.part == "label maps":
            now = dataset.require_label_maps().fingerprint()
        else:
            now = dataset.fingerprint
        if now != one.fingerprint:
            found.append(one)
    return found
