"""Shared memory that workers write batches into, used again, as new memory costs a tenth of reading an image.

A worker takes one of its buffers and marks it as in use. The reader gets a tensor of the same memory. When no
tensor of it is left there, the reader marks the buffer as free.
"""

from __future__ import annotations

import itertools
import math
import os
import weakref
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from multiprocessing.sharedctypes import RawArray
from typing import Any

import torch
from torch import Tensor

MOST_BUFFERS = 8  # of a worker; torch lets it be two batches ahead, and the reader holds one or two
_numbers = itertools.count()


class SharedBuffers:
    """The reader's side: the buffers of all workers of one loader.

    Attributes:
        number: of the loader, in this process.
        in_use: a mark for each buffer of each worker, which both sides see.
    """

    def __init__(self, workers: int) -> None:
        self.number = next(_numbers)
        self.in_use: Any = RawArray("b", max(1, workers) * MOST_BUFFERS)
        self._buffers: dict[int, Tensor] = {}
        _loaders[self.number] = self

    def received(self, place: int, shape: tuple[int, ...], buffer: Tensor | None) -> Tensor:
        """Return the batch in the buffer at `place`, whose mark falls when no tensor of the batch is left.

        Args:
            buffer: where a worker has made it for this batch; later batches come without.
        """
        if buffer is not None:
            self._buffers[place] = buffer
        array = self._buffers[place][: math.prod(shape)].numpy()
        weakref.finalize(array, _free, self.in_use, place, os.getpid()).atexit = False
        return torch.from_numpy(array).view(shape)  # holds the array, not only its memory


def _free(in_use: Any, place: int, reader: int) -> None:
    """Let a mark fall, but not where the tensor was one that a process inherited by a fork."""
    if os.getpid() == reader:
        in_use[place] = 0


_loaders: weakref.WeakValueDictionary[int, SharedBuffers] = weakref.WeakValueDictionary()


class BatchInBuffer(Tensor):
    """A batch of a worker. Results of operations on it are usual tensors.

    Attributes:
        buffers: of the worker.
        place: of its buffer among those of the loader.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]
    buffers: WorkerBuffers
    place: int

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Be copied as a usual tensor, where a batch does not go from process to process in shared memory."""
        self.buffers.in_use[self.place] = 0
        return self.as_subclass(Tensor).__reduce_ex__(protocol)


class WorkerBuffers:
    """The side of one worker.

    Args:
        shared: the reader's side, as it was when the worker started.
        worker: number of this worker.
    """

    def __init__(self, shared: SharedBuffers, worker: int) -> None:
        self.loader, self.in_use = shared.number, shared.in_use
        self.places = range(worker * MOST_BUFFERS, (worker + 1) * MOST_BUFFERS)
        self.buffers: dict[int, Tensor] = {}
        self.known: set[int] = set()  # places whose buffer the reader has

    def batch(self, shape: tuple[int, ...], fits: Callable[[int], bool]) -> Tensor | None:
        """Return an unwritten uint8 batch in shared memory, or None.

        Args:
            fits: whether shared memory has room for so many bytes more.
        """
        size = math.prod(shape)
        free = [place for place in self.places if not self.in_use[place]]
        sufficient = (place for place in free if place in self.buffers and len(self.buffers[place]) >= size)
        place = next(sufficient, None)
        if place is None:
            if not free or not fits(size):
                return None
            place = free[0]
            self.buffers[place] = torch.empty(size, dtype=torch.uint8).share_memory_()
            self.known.discard(place)
        self.in_use[place] = 1
        batch = self.buffers[place][:size].view(shape).as_subclass(BatchInBuffer)
        batch.buffers, batch.place = self, place
        return batch

    def handed_over(self, place: int) -> Tensor | None:
        """Return a buffer that the reader does not have yet, None of others."""
        if place in self.known:
            return None
        self.known.add(place)
        return self.buffers[place]


_own: list[WorkerBuffers] = []  # of this process, if it is a worker


def use_buffers(shared: SharedBuffers, worker: int) -> None:
    """Write batches of this process, which is a worker, into buffers from now on."""
    _own[:] = [WorkerBuffers(shared, worker)]


def batch_in_buffer(shape: tuple[int, ...], fits: Callable[[int], bool]) -> Tensor | None:
    """Return an unwritten batch as `WorkerBuffers.batch` does; None in a process that has no buffers."""
    return _own[0].batch(shape, fits) if _own else None


def _received(loader: int, place: int, shape: tuple[int, ...], buffer: Tensor | None) -> Tensor:
    found = _loaders.get(loader)
    # A thread of torch may still receive batches of a loader that has ended, which nobody reads.
    return torch.empty(shape, dtype=torch.uint8) if found is None else found.received(place, shape, buffer)


def _sent(batch: BatchInBuffer) -> tuple[Callable[..., Tensor], tuple[Any, ...]]:
    own, place = batch.buffers, batch.place
    return _received, (own.loader, place, tuple(batch.shape), own.handed_over(place))


ForkingPickler.register(BatchInBuffer, _sent)
