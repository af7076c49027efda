"""The wall time of a plan: what cells wait for, how many run, and pretrainings that take several cores."""

from __future__ import annotations

import pytest

from mmbench.processes import cores
from mmbench.tools.suite.definition.suite import RunSettings
from mmbench.tools.suite.planning.cell import Cell, DataWork, PretrainWork
from mmbench.tools.suite.planning.wall_time import processes_at_once, wall_seconds


def cell(name: str, seconds: float, *after: Cell) -> Cell:
    return Cell(name=name, work=DataWork(data=name), after=tuple(one.id for one in after), seconds=seconds)


def pretraining(seed: int, seconds: float, processes: int) -> Cell:
    work = PretrainWork(arm="moco", seed=seed, data="patterns", method="moco", processes=processes)
    return Cell(name=f"moco {seed}", work=work, seconds=seconds)


def test_wall_time_respects_what_cells_wait_for_and_how_many_run() -> None:
    first = cell("a", 10)
    rest = [cell(f"b{number}", 4, first) for number in range(3)]
    cells = [first, *rest]
    assert wall_seconds(cells, (), 1) == 22 and wall_seconds(cells, (), 2) == 18
    assert wall_seconds(cells, (), 8) == 14
    assert wall_seconds(cells, {first.id}, 3) == 4 and wall_seconds(cells, {one.id for one in cells}, 2) == 0


def test_processes_of_a_pretraining_take_the_cores_of_as_many_workers() -> None:
    cells = [pretraining(seed, 10, processes=2) for seed in range(3)]
    assert wall_seconds(cells, (), 2, at_once=2) == 30  # one at a time
    assert wall_seconds(cells, (), 4, at_once=4) == 20
    assert wall_seconds(cells, (), 1, at_once=2) == 30  # the one worker has both cores
    assert wall_seconds(cells, (), 3) == 10  # a GPU each
    small = [cell("a", 4), cell("b", 12)]  # data come first; the pretraining waits for both cores
    assert wall_seconds([*small, cells[0]], (), 2, at_once=2) == 22
    assert wall_seconds([*small, cells[0]], (), 3, at_once=3) == 14


@pytest.mark.parametrize(
    ("run", "on_gpu", "expected"),
    [
        ({}, False, cores()),
        ({"threads": 1024}, False, 1),
        ({}, True, None),
        ({"slurm": {"jobs": 2}}, False, None),
    ],
)
def test_cores_bound_the_processes_of_this_host_alone(
    run: dict[str, object], on_gpu: bool, expected: int | None
) -> None:
    assert processes_at_once(RunSettings.model_validate(run), on_gpu=on_gpu) == expected
