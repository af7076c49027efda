"""The plan of a suite: cells, names, seeds and dependencies."""

from mmbench.tools.demo import plan as old
from mmbench.tools.suite.cell import DataWork, PretrainWork
from mmbench.tools.suite.plan import plan_of
from mmbench.tools.suite.suite_file import read_suite


def test_the_demo_is_planned_as_it_always_was() -> None:
    before = old.plan(old.ARMS, None, (0, 1), 8)
    now = plan_of(read_suite("demo")).cells
    names = {cell.id: cell.name for cell in now}
    assert [cell.name for cell in now] == [cell.name for cell in before]
    for cell, was in zip(now, before, strict=True):
        assert tuple(names[one] for one in cell.after) == was.after
        work = cell.work
        if isinstance(work, DataWork):
            assert work.data == old.DATA
        elif isinstance(work, PretrainWork):
            assert (work.arm, work.method, work.seed) == (was.arm, was.arm, was.pretraining_seed)
            assert (work.arch, work.epochs, work.data) == (old.ARCH, 8, old.DATA)
        else:
            assert (work.arm, work.task, work.protocol) == (was.arm, was.task, was.protocol)
            assert (work.weights_seed, work.seed) == (was.pretraining_seed, was.transfer_seed)
