"""Batches that worker processes read in advance, also with little or no shared memory.

torch passes tensors between processes in shared memory, /dev/shm on Linux, of which Docker gives 64 MiB: a
worker that runs out of it is killed by a bus error. So a batch that does not fit goes through the worker's
pipe instead, which is slower and needs no shared memory. Images that are written into an `empty_batch` are
in shared memory from the start, and are not copied on their way; that memory is used again for later batches.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import functools
import logging
import multiprocessing
import os
import pickle
import shutil
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from mmbench.data.images.shared_buffers import SharedBuffers, batch_in_buffer, use_buffers

SHARED_MEMORY = "/dev/shm"
SILENT_SECONDS = 600  # a worker without output for so long counts as lost
MARGIN = 2  # other programs use shared memory too
UNLIMITED = 2**62
STOPS = (signal.SIGINT, signal.SIGTERM)
logger = logging.getLogger("mmbench.data")
Batch = TypeVar("Batch")


def free_shared_memory() -> int:
    """Return the free bytes of shared memory; systems other than Linux have no such limit."""
    if not sys.platform.startswith("linux"):
        return UNLIMITED
    try:
        return shutil.disk_usage(SHARED_MEMORY).free
    except OSError:
        return 0


def empty_batch(*shape: int) -> Tensor:
    """Return a uint8 tensor to fill; in a worker it is in shared memory, where that holds one of each."""
    worker = get_worker_info()
    found = None if worker is None else batch_in_buffer(shape, lambda size: _fits(size, worker.num_workers))
    return torch.empty(shape, dtype=torch.uint8) if found is None else found


def _fits(size: int, workers: int) -> bool:
    """Return whether shared memory holds a batch of every worker, and one that is in use."""
    return MARGIN * (workers + 1) * size <= free_shared_memory()


@dataclass(frozen=True)
class Piped:
    """A batch as bytes, for the pipe."""

    content: bytes


def as_read(batch: Any) -> Any:
    """Return what a dataset returned for all keys of a batch, in place of collating it."""
    return batch


class Handover(Generic[Batch]):
    """Collates in a worker, and chooses how the batch is passed on.

    Args:
        collate: makes a batch of the items.
        workers: processes that may need shared memory at the same moment.
    """

    def __init__(self, collate: Callable[[Any], Batch], workers: int) -> None:
        self.collate, self.workers = collate, workers

    def __call__(self, items: Any) -> Batch | Piped:
        """Return the batch as it is, or as bytes where shared memory may not hold one of every worker."""
        batch = self.collate(items)
        if get_worker_info() is None:
            return batch
        fits = _fits(_bytes_to_share(batch), self.workers)
        return batch if fits else Piped(pickle.dumps(batch, pickle.HIGHEST_PROTOCOL))


def _bytes_to_share(batch: Any) -> int:
    """Return the bytes of all tensors of a batch that are not in shared memory yet.

    They are looked for in lists, dicts, and attributes of other objects.
    """
    if isinstance(batch, Tensor):
        return 0 if batch.is_shared() else batch.nbytes
    if isinstance(batch, dict):
        return sum(map(_bytes_to_share, batch.values()))
    if isinstance(batch, list | tuple):
        return sum(map(_bytes_to_share, batch))
    return sum(map(_bytes_to_share, vars(batch).values())) if hasattr(batch, "__dict__") else 0


def _begin(buffers: SharedBuffers, worker: int) -> None:
    """Prepare a worker that has just started."""
    leave_stops_to_parent(worker)
    use_buffers(buffers, worker)


def leave_stops_to_parent(worker: int) -> None:
    """Let Ctrl-C and a scheduler's SIGTERM, which reach every process, end a worker only through its parent.

    The parent has a step to finish and a state to save. A second SIGTERM, such as the parent's own when it
    leaves, ends the worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(
        signal.SIGTERM, lambda number, frame: signal.signal(signal.SIGTERM, signal.SIG_DFL) and None
    )
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


@contextlib.contextmanager
def _stops_held() -> Iterator[None]:
    """Hold stops back while workers start: one that is hit before it ignores them would end in silence.

    Workers inherit the mask and lift it in `leave_stops_to_parent`; what came meanwhile reaches the parent
    afterwards.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def read_batches(
    dataset: TorchDataset[Any],
    batches: Iterable[Any],
    workers: int,
    collate: Callable[[Any], Batch] = as_read,
    *,
    pin_memory: bool = False,
) -> Generator[Batch, None, None]:
    """Yield one batch per list of keys, in order, read by `workers` processes ahead of their use.

    Args:
        dataset: returns an item for a key by `__getitem__`, or all of a list of keys by `__getitems__`.
        batches: lists of keys.
        workers: processes; 0 reads in this one.
        collate: makes a batch of the items.
        pin_memory: for faster copies to a GPU.

    Raises:
        RuntimeError: a worker was killed, or returned nothing for ten minutes; see `mmbench.faults`.
    """
    warned = False
    iterator = _start(dataset, batches, workers, collate, pin_memory)
    # A generator that a traceback or a module still holds is not closed at the exit of Python, which sends
    # workers the one SIGTERM that they leave to their parent, and then waits for them.
    end = functools.partial(_end, iterator, os.getpid())
    atexit.register(end)
    try:
        for found in iterator:
            if not isinstance(found, Piped):
                yield found
                continue
            if not warned:
                warned = True
                logger.warning(
                    "shared memory (%s) has %d MiB free, too few for batches of %d MiB from %d workers: they "
                    "come through pipes, which is slower; use fewer workers, or docker run --shm-size=8g",
                    *(SHARED_MEMORY, free_shared_memory() >> 20, len(found.content) >> 20, workers),
                )
            yield pickle.loads(found.content)
    finally:
        atexit.unregister(end)
        end()


class _Workers(_MultiProcessingDataLoaderIter):
    """torch's iterator; it also ends in silence, with its workers, where not all of them could be started."""

    def _shutdown_workers(self) -> None:
        if hasattr(self, "_workers_status"):  # the last that torch sets
            super()._shutdown_workers()
            return
        for worker in getattr(self, "_workers", ()):
            worker.kill()
            worker.join()


def _end(iterator: Iterator[Any], reader: int) -> None:
    """End the workers, including those that hang in a read and have ignored torch's SIGTERM.

    Args:
        reader: the process that started them; one that was forked from it leaves them alone.
    """
    if os.getpid() != reader:
        return
    processes = getattr(iterator, "_workers", ())
    getattr(iterator, "_shutdown_workers", lambda: None)()
    for process in processes:
        if process.is_alive():
            process.kill()


def _start(
    dataset: TorchDataset[Any],
    batches: Iterable[Any],
    workers: int,
    collate: Callable[[Any], Batch],
    pin_memory: bool,
) -> Iterator[Batch | Piped]:
    """Return torch's iterator, without workers if the system cannot start any."""

    def loader(count: int) -> DataLoader[Any]:
        return DataLoader(
            dataset,
            batch_sampler=batches,
            num_workers=count,
            collate_fn=Handover(collate, count),
            worker_init_fn=functools.partial(_begin, SharedBuffers(count)),
            pin_memory=pin_memory,
            timeout=SILENT_SECONDS if count else 0,
        )

    try:
        if workers:
            multiprocessing.Lock()  # queues need such; it fails more quietly than a half-made loader
        with _stops_held():
            return _Workers(loader(workers)) if workers else iter(loader(0))
    except (OSError, ImportError) as error:  # no semaphores without shared memory, no memory for a process
        if not workers:
            raise
        number = error.errno if isinstance(error, OSError) and error.errno else errno.ENOSYS
        logger.warning(
            "no process that reads data can be started (%s); this one reads itself", os.strerror(number)
        )
        return iter(loader(0))
