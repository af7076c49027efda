"""Whether data, weights and protocol files that are there are still those of the done cells of a suite."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mmbench.errors import UserError, one_line, typed
from mmbench.files import sha256_of
from mmbench.processes import end_with_parent
from mmbench.tasks import TASKS
from mmbench.tools.suite.cell import Cell, TransferWork
from mmbench.tools.suite.folder import CellState, SuiteFolder
from mmbench.transfer.protocol import is_file_name

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
    measured = tuple(dict.fromkeys(_measured(_finished(cells, states))))
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


def changed_files(
    cells: tuple[Cell, ...], states: Mapping[str, CellState], folder: SuiteFolder
) -> tuple[str, ...]:
    """Return a line for each file of weights and each protocol file that is not that of the done cells.

    Args:
        states: as of `require_same_data`.
    """
    digests: dict[Path, str] = {}  # each file is read once
    found: dict[Path, str] = {}
    for cell, state in _finished(cells, states):
        if isinstance(cell.work, TransferWork):
            for path, line in _changed_files_of(cell.work, state, folder, digests):
                found.setdefault(path, line)
    return tuple(found.values())


def _finished(cells: tuple[Cell, ...], states: Mapping[str, CellState]) -> list[tuple[Cell, CellState]]:
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


def _changed_files_of(
    work: TransferWork, state: CellState, folder: SuiteFolder, digests: dict[Path, str]
) -> Iterator[tuple[Path, str]]:
    """Yield weights and protocol file of a cell where they are not those of its record, each with a line.

    Files that are gone are reported where they are needed.

    Args:
        digests: takes the SHA-256 of the files.
    """
    weights = Path(work.weights.removeprefix("local-dir:")) if isinstance(work.weights, str) else None
    if weights is not None and weights.is_dir():
        weights = weights / "model.safetensors"
    protocol = Path(work.protocol) if is_file_name(work.protocol) else None
    files = [path for path in (weights, protocol) if path is not None and path.is_file()]
    if not files:
        return
    try:
        record: dict[str, Any] = json.loads((folder.root / state.left).read_text(encoding="utf-8"))
        before = {
            weights: record.get("model", {}).get("source_sha256"),
            protocol: record.get("config", {}).get("protocol_file_sha256"),
        }
    except (OSError, ValueError, AttributeError):
        return  # not a record any more; the board says so
    for path in files:
        if before[path] is None:
            continue
        if path not in digests:
            digests[path] = sha256_of(path)
        if digests[path] != before[path]:
            renamed = "write the change to another file" if path == protocol else "give the arm another name"
            yield (
                path,
                f"{one_line(str(path))} is not the file that {state.name} was measured "
                f"{'by' if path == protocol else 'on'} (its SHA-256 changed); "
                f"restore it, {renamed}, or choose another folder with --out",
            )
