"""Batches read ahead by workers, with shared memory and without, and when a worker is lost."""

from __future__ import annotations

import errno
import gc
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from mmbench.data.images import ahead
from mmbench.data.images.ahead import Handover, Piped, empty_batch, free_shared_memory, read_batches
from mmbench.faults import fault_of


class Numbers(TorchDataset[Tensor]):
    """Item n is a small tensor of n."""

    def __getitem__(self, index: int) -> Tensor:
        return torch.full((3, 5), index, dtype=torch.uint8)


class Named(NamedTuple):
    pair: Tensor
    names: list[int]


def stack(items: list[Tensor]) -> Named:
    return Named(torch.stack(items), [int(item[0, 0]) for item in items])


PLAN = [[1, 2], [3], [4, 5, 6], [7, 8]]


def read(workers: int, dataset: TorchDataset[Any] | None = None) -> list[Named]:
    return list(read_batches(dataset or Numbers(), iter(PLAN), workers, stack))


def check(found: list[Named]) -> None:
    assert [batch.names for batch in found] == PLAN
    for batch, indices in zip(found, PLAN, strict=True):
        expected = torch.tensor(indices, dtype=torch.uint8).view(-1, 1, 1).expand(-1, 3, 5)
        assert torch.equal(batch.pair, expected)
        batch.pair.add_(1)  # ours to write to


@pytest.mark.parametrize("free", [2**40, 0], ids=["shared memory", "pipes"])
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_whichever_way_they_come(
    free: int, workers: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ahead, "free_shared_memory", lambda: free)
    with caplog.at_level(logging.WARNING):
        check(read(workers))
    assert len(caplog.messages) == (workers > 0 and free == 0)
    if caplog.messages:
        assert "/dev/shm" in caplog.messages[0] and "\n" not in caplog.messages[0]


def test_what_shared_memory_must_hold_is_counted_for_every_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "get_worker_info", lambda: object())
    items = [torch.zeros(3, 5, dtype=torch.uint8)] * 4  # 60 bytes
    for free, piped in ((2 * 60 * 4, False), (2 * 60 * 4 - 1, True)):
        monkeypatch.setattr(ahead, "free_shared_memory", lambda free=free: free)
        assert isinstance(Handover(stack, workers=3)(items), Piped) == piped


class WholeBatches(TorchDataset[Named]):
    """All items of a batch at once, and whether they are in shared memory as soon as they are written."""

    def __getitems__(self, indices: list[int]) -> tuple[Named, bool]:
        pair = empty_batch(len(indices), 3, 5)
        for index, item in zip(indices, pair, strict=True):
            item.fill_(index)
        return Named(pair, indices), pair.is_shared()


@pytest.mark.parametrize(("workers", "free", "shared"), [(0, 2**40, False), (2, 2**40, True), (2, 0, False)])
def test_whole_batches_are_written_where_the_reader_finds_them(
    workers: int, free: int, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "free_shared_memory", lambda: free)
    found: list[tuple[Named, bool]] = list(read_batches(WholeBatches(), iter(PLAN), workers))
    assert [written for _, written in found] == [shared] * len(PLAN)
    check([batch for batch, _ in found])


def test_what_is_in_shared_memory_needs_no_more_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "get_worker_info", lambda: object())
    monkeypatch.setattr(ahead, "free_shared_memory", lambda: 0)
    handover = Handover(ahead.as_read, workers=2)
    pair = torch.zeros(4, 3, 5, dtype=torch.uint8)
    assert isinstance(handover(Named(pair, [])), Piped)
    assert isinstance(handover(Named(pair.share_memory_(), [])), Named)


def test_free_shared_memory_is_that_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    stat = os.statvfs("/dev/shm")
    assert 0 <= free_shared_memory() <= stat.f_blocks * stat.f_frsize
    monkeypatch.setattr(ahead, "SHARED_MEMORY", "/no/such/place")
    assert free_shared_memory() == 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.ENOENT, errno.EAGAIN, errno.EACCES])
def test_where_no_worker_can_be_started_this_process_reads(
    number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    ignored: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    monkeypatch.setattr(_MultiProcessingDataLoaderIter, "__init__", fails)
    with caplog.at_level(logging.WARNING):
        check(read(2))
    assert "this one reads itself" in caplog.text and os.strerror(number) in caplog.text
    gc.collect()
    assert not ignored  # Python prints such errors with their traceback


def test_where_not_all_workers_can_be_started_the_others_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start, started, ignored = multiprocessing.Process.start, list[BaseProcess](), list[object]()

    def second_fails(process: multiprocessing.Process) -> None:
        if started:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        start(process)
        started.append(process)

    monkeypatch.setattr(sys, "unraisablehook", ignored.append)
    monkeypatch.setattr(multiprocessing.Process, "start", second_fails)
    check(read(2))
    assert "this one reads itself" in caplog.text
    gc.collect()
    assert not ignored and len(started) == 1 and not started[0].is_alive()


HELD = """
import sys
from torch.utils.data import Dataset
from mmbench.data.images.ahead import read_batches

class Numbers(Dataset):
    def __getitem__(self, index):
        return index

reading = read_batches(Numbers(), ([index] for index in range(100)), 2)
print(next(reading))
if "error" in sys.argv:
    raise ValueError
"""


@pytest.mark.parametrize("end", ["exit", "error"])
def test_a_program_ends_though_something_still_holds_its_reading(end: str) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", HELD, end], capture_output=True, text=True, timeout=120, check=False
    )
    assert (answer.returncode, answer.stdout) == (end == "error", "[0]\n")


class Lost(Numbers):
    """A worker that a signal ends, or that never gives anything."""

    def __init__(self, number: signal.Signals | None) -> None:
        self.number = number

    def __getitem__(self, index: int) -> Tensor:
        if self.number is None:
            time.sleep(4)
        else:
            os.kill(os.getpid(), self.number)
        return super().__getitem__(index)


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGBUS, "/dev/shm"), (signal.SIGKILL, "workers=0"), (None, "returned nothing for too long")],
)
def test_a_lost_worker_is_one_line(
    number: signal.Signals | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "SILENT_SECONDS", 1)
    with pytest.raises(RuntimeError) as lost:
        read(1, Lost(number))
    fault = fault_of(lost.value)
    assert fault is not None and fault.exit_code == 1
    assert words in fault.words and "\n" not in fault.words


def stop_workers() -> None:
    """Send what reaches every process of a group: a terminal's Ctrl-C and Slurm's SIGTERM."""
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGINT)
        os.kill(worker.pid, signal.SIGTERM)


@pytest.mark.parametrize("starting", [False, True])
def test_a_stop_of_the_whole_group_leaves_the_workers_to_their_parent(
    starting: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent has a step to finish, also where the stop comes while the workers start."""
    monkeypatch.setattr(ahead, "SILENT_SECONDS", 30)
    if starting:
        begin, prepare = _MultiProcessingDataLoaderIter.__init__, ahead.leave_stops_to_parent

        def begin_and_stop(iterator: Any, loader: Any) -> None:
            begin(iterator, loader)
            stop_workers()

        def prepare_late(worker: int) -> None:
            time.sleep(0.5)  # the signals come before this
            prepare(worker)

        monkeypatch.setattr(_MultiProcessingDataLoaderIter, "__init__", begin_and_stop)
        monkeypatch.setattr(ahead, "leave_stops_to_parent", prepare_late)
    found = read_batches(Numbers(), ([index] for index in range(40)), 2, stack)
    names = next(found).names
    if not starting:
        stop_workers()
    for batch in found:
        names += batch.names
    assert names == list(range(40))


def test_workers_that_ignored_a_stop_end_with_their_reader() -> None:
    found = read_batches(Numbers(), ([index] for index in range(40)), 2, stack)
    next(found)
    workers = multiprocessing.active_children()
    for worker in workers:
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGTERM)
    del found
    for worker in workers:
        worker.join(10)
        assert not worker.is_alive()
