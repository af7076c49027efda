"""Memory of batches is used again, and never before the last tensor of the former batch is gone."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from mmbench.data.images import ahead
from mmbench.data.images.ahead import empty_batch, read_batches
from mmbench.data.images.shared_buffers import MOST_BUFFERS


class Item(NamedTuple):
    batch: Tensor
    more: dict[str, Tensor]


class Numbered(TorchDataset[Any]):
    """Two batches of one number each, of random lengths; now and then one that is not handed over."""

    def __init__(self, longest: int = 1, lost: int = 0) -> None:
        self.longest, self.lost = longest, lost

    def __getitems__(self, keys: list[int]) -> Item | str:
        (number,) = keys
        draw = random.Random(number)
        batches = [empty_batch(draw.randint(0, self.longest), 2, 50).fill_(number) for _ in range(2)]
        if self.lost and number % self.lost == 0:
            return "lost"
        return Item(batches[0], {"second": batches[1]})


def read(workers: int, count: int = 40, **how: int) -> Iterator[Item | str]:
    return read_batches(Numbered(**how), ([number] for number in range(1, count + 1)), workers)


def holds(item: Item, number: int) -> bool:
    return all(bool((batch == number).all()) for batch in (item.batch, item.more["second"]))


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_who_keeps_every_batch_keeps_its_values(workers: int) -> None:
    found = list(read(workers, longest=9))
    assert len(found) == 40
    for number, item in enumerate(found, 1):
        assert isinstance(item, Item) and holds(item, number)
        assert type(item.batch) is Tensor and item.batch.dtype == torch.uint8
        assert item.batch.shape[1:] == (2, 50)
        item.batch.add_(1)  # the reader's to write to


@pytest.mark.parametrize("workers", [1, 2])
def test_who_keeps_none_is_given_the_same_memory_again(workers: int) -> None:
    places: set[int] = set()
    for number, item in enumerate(read(workers, longest=1, count=60), 1):
        assert isinstance(item, Item) and holds(item, number)
        places |= {batch.data_ptr() for batch in (item.batch, item.more["second"]) if len(batch)}
    assert len(places) <= MOST_BUFFERS * workers


def test_a_view_is_enough_to_keep_a_batch() -> None:
    kept = {}
    for number, item in enumerate(read(2, longest=3), 1):
        assert isinstance(item, Item)
        row = item.more["second"][-1:, 1, 10:20]
        kept[number] = row.numpy() if number % 2 else row.T
        del item, row
        gc.collect()
    assert all((view == number).all() for number, view in kept.items())


def test_batches_of_all_sizes_among_those_that_stay() -> None:
    """Kept for random times, so that buffers are free in every order, too small, or all in use."""
    draw = random.Random(0)
    kept: dict[int, Item] = {}
    for number, item in enumerate(read(2, longest=200, count=150), 1):
        assert isinstance(item, Item)
        kept[number] = item
        for one in list(kept):
            assert holds(kept[one], one)
            if draw.random() < 0.2:
                del kept[one]


def test_batches_that_are_not_handed_over_cost_no_more_than_their_buffers() -> None:
    found = list(read(1, lost=2))
    assert [isinstance(item, str) for item in found] == [number % 2 == 0 for number in range(1, 41)]
    assert all(holds(item, number) for number, item in enumerate(found, 1) if isinstance(item, Item))


def test_without_room_for_a_buffer_batches_come_through_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "free_shared_memory", lambda: 0)
    for number, item in enumerate(read(2, longest=9), 1):
        assert isinstance(item, Item) and holds(item, number)


def test_a_fork_of_the_reader_frees_nothing() -> None:
    """It inherits the batches, and drops them while the reader still holds them."""
    reading = read(1, longest=3)
    kept = {number: next(reading) for number in range(1, 5)}
    child = os.fork()
    if child == 0:
        kept.clear()
        os._exit(0)
    os.waitpid(child, 0)
    for number, item in enumerate(reading, 5):
        assert isinstance(item, Item) and holds(item, number)
    assert all(isinstance(item, Item) and holds(item, number) for number, item in kept.items())


def test_batches_outlive_their_loader() -> None:
    reading = read(1, longest=4)
    first = next(reading)
    reading.close()  # type: ignore[attr-defined]
    assert isinstance(first, Item) and holds(first, 1)
