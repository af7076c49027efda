"""Which training images make each batch: a function of the seed and of the batch's number.

The order is that of Detectron2's TrainingSampler in one process, and images are grouped by aspect ratio as
its AspectRatioGroupedDataset groups them. Both are done here on numbers of images, before anything is read,
so that a training can begin at any batch, and workers and processes do not change what is drawn.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from mmbench.errors import UserError


class Draw(NamedTuple):
    """One image of a batch.

    Attributes:
        image: index among the training images.
        number: of the draw, counted from 0 at the start of the training; seeds its augmentation.
    """

    image: int
    number: int


class BatchStream:
    """An endless stream of batches, each over all processes.

    Args:
        wide: for each training image whether it is wider than tall; wide images share batches with each
            other, and so do the others. All equal where images are not grouped.
        batch_size: images per batch, over all processes.
        seed: of the order.
    """

    def __init__(self, wide: Sequence[bool], batch_size: int, seed: int) -> None:
        self.wide, self.batch_size, self.seed = tuple(wide), batch_size, seed

    def batches(self, start: int = 0) -> Iterator[list[Draw]]:
        """Yield the batches from number `start` on; those before it are passed over without reading."""
        groups: tuple[list[Draw], list[Draw]] = ([], [])
        made = 0
        for draw in self._draws():
            group = groups[self.wide[draw.image]]
            group.append(draw)
            if len(group) == self.batch_size:
                made += 1
                if made > start:
                    yield group[:]
                group.clear()

    def _draws(self) -> Iterator[Draw]:
        """Yield all images in one order after the other."""
        generator = torch.Generator().manual_seed(self.seed)
        number = 0
        while True:
            for index in torch.randperm(len(self.wide), generator=generator).tolist():
                yield Draw(index, number)
                number += 1


def share(batch: list[Draw], rank: int, processes: int) -> list[Draw]:
    """Return the part of a batch that belongs to one process.

    Raises:
        UserError: the batch cannot be shared evenly.
    """
    if len(batch) % processes:
        raise UserError(
            f"a batch of {len(batch)} images cannot be shared evenly by {processes} processes; "
            "start fewer, or change batch_size by --set"
        )
    size = len(batch) // processes
    return batch[rank * size : (rank + 1) * size]


@contextlib.contextmanager
def drawn(seed: int, number: int) -> Iterator[None]:
    """Seed what the augmentations of images draw from, by a draw's number; afterwards it is as before.

    torch's random state is not used by them, and belongs to the training.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    words = np.random.SeedSequence((seed, number)).generate_state(4)
    np.random.seed(words)
    random.seed(int(words[0]))
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
