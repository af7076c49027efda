"""Batches for dense trainings and evaluations, read ahead by worker processes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset as TorchDataset

from mmbench.data.images.ahead import as_read, read_batches
from mmbench.distributed import own_share, process_count, process_rank
from mmbench.errors import UserError
from mmbench.transfer.dense.common.sampling import BatchStream, Draw, drawn, share
from mmbench.transfer.job import TransferJob

# Below this number of images the start of workers, which import torch, takes longer than reading alone.
WORTH_WORKERS = 4000

Item = dict[str, Any]
Read = Callable[[int], Item]


def reading_workers(job: TransferJob, images: int, in_settings: int | None = None) -> int:
    """Return how many processes read images: as stated, or none where a run reads only a few images.

    Args:
        images: how many a run reads.
        in_settings: as the settings say; the option --workers goes before it.
    """
    if job.compute.workers is None and in_settings is not None:
        return in_settings
    if job.compute.workers is None and images < WORTH_WORKERS:
        return 0
    return job.compute.reading_workers


class _Images(TorchDataset[Any]):
    """Images by their draw: read, augmented, or the error as text (torch adds a traceback to exceptions).

    Args:
        read: reads and augments the image of an index.
        seed: of the augmentations.
    """

    def __init__(self, read: Read, seed: int) -> None:
        self.read, self.seed = read, seed

    def __getitem__(self, draw: Draw) -> Item | str:
        with drawn(self.seed, draw.number):
            try:
                return self.read(draw.image)
            except UserError as error:
                return str(error)


def _checked(batch: list[Item | str]) -> list[Item]:
    """Return the batch.

    Raises:
        UserError: an image of it could not be read.
    """
    for item in batch:
        if isinstance(item, str):
            raise UserError(item)
    return batch  # type: ignore[return-value]


def read_draws(
    read: Read,
    seed: int,
    batches: Iterable[list[Draw]],
    *,
    workers: int = 0,
    pin_memory: bool = False,
) -> Iterator[list[Item]]:
    """Yield batches of images, read ahead.

    Args:
        read: reads and augments the image of an index.
        seed: of the augmentations, with the draw's number.

    Raises:
        UserError: an image cannot be read.
    """
    for batch in read_batches(_Images(read, seed), batches, workers, as_read, pin_memory=pin_memory):
        yield _checked(batch)


class TrainingLoader:
    """This process's parts of a stream's batches. Iterating begins at `position` and never ends.

    Attributes:
        position: number of the next batch.
        waited: seconds that the training waited for data so far.
    """

    def __init__(
        self, read: Read, stream: BatchStream, *, workers: int = 0, pin_memory: bool = False
    ) -> None:
        self.images, self.stream = _Images(read, stream.seed), stream
        self.workers, self.pin_memory = workers, pin_memory
        self.position, self.waited = 0, 0.0

    def __iter__(self) -> Iterator[list[Item]]:
        """Yield the remaining batches.

        Raises:
            UserError: an image cannot be read, or the processes cannot share a batch evenly.
        """
        rank, processes = process_rank(), process_count()
        keys = (share(batch, rank, processes) for batch in self.stream.batches(self.position))
        found = read_batches(self.images, keys, self.workers, as_read, pin_memory=self.pin_memory)
        with contextlib.closing(found):  # ends the workers
            while True:
                started = time.perf_counter()
                # torch draws a seed for its workers when it starts them; the training's random state must
                # not depend on how often that happened.
                state = torch.get_rng_state()
                batch = next(found)
                torch.set_rng_state(state)
                self.waited += time.perf_counter() - started
                self.position += 1
                yield _checked(batch)


class TestLoader:
    """This process's part of the evaluated images. Its length is the number of batches.

    Args:
        read: reads the image of an index.
        count: number of images of all processes.
        sizes: of each image; then only images of equal size share a batch. If None, all may, in order.
    """

    __test__ = False  # not a test, whatever its name

    def __init__(
        self,
        read: Read,
        count: int,
        *,
        batch_size: int = 1,
        workers: int = 0,
        pin_memory: bool = False,
        sizes: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        self.read = read
        groups: dict[tuple[int, int] | None, list[int]] = {}
        for index in range(count)[own_share(count)]:
            groups.setdefault(None if sizes is None else sizes[index], []).append(index)
        self.batches = [
            own[start : start + batch_size]
            for own in groups.values()
            for start in range(0, len(own), batch_size)
        ]
        self.workers, self.pin_memory = workers, pin_memory

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Item]]:
        """Yield the batches.

        Raises:
            UserError: an image cannot be read.
        """
        keys = ([Draw(index, index) for index in batch] for batch in self.batches)
        yield from read_draws(self.read, 0, keys, workers=self.workers, pin_memory=self.pin_memory)


class Counted:
    """The number of the next batch as a part of the state.

    Args:
        loader: has a `position`.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def state_dict(self) -> dict[str, int]:
        """Return the position."""
        return {"position": self.loader.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Begin at this batch."""
        self.loader.position = state["position"]
