from __future__ import annotations

from cheap_cells import cell

from mmbench.tools.suite.planning.cell import Cell, DataWork, PretrainWork
from mmbench.tools.suite.planning.schedule import Schedule


def taken(schedule: Schedule) -> list[str]:
    """Take cells until none is ready, finishing each."""
    names = []
    while schedule.ready:
        one = schedule.take()
        names.append(one.name)
        schedule.finish(one)
    return names


def test_data_then_pretrainings_then_the_longest_first() -> None:
    data = Cell(name="data", work=DataWork(data="patterns"), seconds=1)
    work = PretrainWork(arm="moco", seed=0, data="patterns", method="moco")
    weights = Cell(name="weights", work=work, after=(data.id,), seconds=2)
    short, long = cell("short", seconds=1), cell("long", seconds=9)
    after = cell("after", after=(weights, data), seconds=100)
    cells = [short, after, long, weights, data]
    schedule = Schedule(cells, {one.id for one in cells}, ())
    assert taken(schedule) == ["data", "weights", "after", "long", "short"]
    assert schedule.left == 0
    assert schedule.blocked() == {}


def test_what_is_done_is_not_waited_for_and_what_failed_blocks() -> None:
    first, second = cell("first"), cell("second")
    after_first, after_second = cell("after first", after=(first,)), cell("after second", after=(second,))
    last = cell("last", after=(after_second, first))
    cells = [first, second, after_first, after_second, last]
    schedule = Schedule(cells, {one.id for one in cells[1:]}, {first.id})
    assert [schedule.take().name for _ in range(2)] == ["second", "after first"]  # as long as each other
    schedule.finish(after_first)
    assert not schedule.ready  # second is out, and then fails
    assert {id: [one.name for one in cells] for id, cells in schedule.blocked().items()} == {
        second.id: ["after second"],
        after_second.id: ["last"],
    }


def test_a_cell_whose_dependency_is_neither_done_nor_chosen_waits() -> None:
    first = cell("first")
    second = cell("second", after=(first,))
    schedule = Schedule([first, second], {second.id}, ())
    assert not schedule.ready
    assert schedule.blocked() == {first.id: [second]}


def test_a_cell_can_be_put_back() -> None:
    one = cell("one")
    schedule = Schedule([one], {one.id}, ())
    assert schedule.take() is one or schedule.left == 1
    assert not schedule.ready
    schedule.put(one)
    assert taken(schedule) == ["one"]
