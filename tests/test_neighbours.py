"""Nearest neighbours in chunks are those of a loop over everything, whatever the chunks."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmbench.errors import UserError
from mmbench.neighbours import knn_grid, knn_scores, nearest


def draw(seed: int, count: int, width: int) -> Tensor:
    return torch.randn((count, width), generator=torch.Generator().manual_seed(seed))


def ranking(query: Tensor, bank: Tensor) -> list[tuple[float, int]]:
    """Return (cosine, index) of every bank item, nearest first, of equal ones the lower index first."""
    numbers = query.tolist()
    found = []
    for index, item in enumerate(bank.tolist()):
        dot = sum(a * b for a, b in zip(numbers, item, strict=True))
        norms = math.sqrt(sum(a * a for a in numbers)) * math.sqrt(sum(b * b for b in item))
        found.append((dot / norms if norms else 0.0, index))
    return sorted(found, key=lambda pair: (-pair[0], pair[1]))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    bank_size=st.integers(1, 40),
    query_count=st.integers(1, 12),
    width=st.integers(2, 6),
    chunk=st.integers(1, 15),
    bank_chunk=st.integers(1, 45),
    data=st.data(),
)
def test_chunks_of_queries_and_bank_change_nothing(
    seed: int,
    bank_size: int,
    query_count: int,
    width: int,
    chunk: int,
    bank_chunk: int,
    data: st.DataObject,
) -> None:
    bank, queries = draw(seed, bank_size, width), draw(seed + 1, query_count, width)
    k = data.draw(st.integers(1, bank_size))
    cosine, index = nearest(queries, bank, k, chunk=chunk, bank_chunk=bank_chunk)
    assert cosine.shape == index.shape == (query_count, k) and index.dtype == torch.int64
    for row, query in enumerate(queries.double()):
        expected = ranking(query, bank.double())
        of_index = {item: value for value, item in expected}
        assert len(set(index[row].tolist())) == k
        for place in range(k):
            # Cosines closer than rounding may change places; each must still belong to its index.
            assert float(cosine[row, place]) == pytest.approx(expected[place][0], abs=2e-6)
            assert float(cosine[row, place]) == pytest.approx(of_index[int(index[row, place])], abs=2e-6)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    bank_size=st.integers(1, 60),
    chunk=st.integers(1, 9),
    bank_chunk=st.integers(1, 65),
    data=st.data(),
)
def test_of_equal_cosines_the_lower_index_is_nearer(
    seed: int, bank_size: int, chunk: int, bank_chunk: int, data: st.DataObject
) -> None:
    """Vectors of four ones with signs: the norm is 2, every cosine is exact, most of them are tied."""
    generator = torch.Generator().manual_seed(seed)
    bank = torch.randint(2, (bank_size, 4), generator=generator).float() * 2 - 1
    queries = torch.randint(2, (9, 4), generator=generator).float() * 2 - 1
    bank[::7] = 0  # no direction at all: cosine 0 with everything
    k = data.draw(st.integers(1, bank_size))
    cosine, index = nearest(queries, bank, k, chunk=chunk, bank_chunk=bank_chunk)
    for row, query in enumerate(queries):
        expected = ranking(query, bank)[:k]
        assert index[row].tolist() == [item for _, item in expected]
        assert cosine[row].tolist() == [value for value, _ in expected]


def test_a_bank_on_disk_in_half_precision_is_its_numbers_in_float32(tmp_path: Path) -> None:
    there = draw(0, 500, 16).half()
    written = np.lib.format.open_memmap(tmp_path / "bank.npy", "w+", np.float16, (500, 16))
    written[:] = there.numpy()
    written.flush()
    mapped = torch.from_numpy(np.lib.format.open_memmap(tmp_path / "bank.npy", "c"))
    queries = draw(1, 30, 16)
    labels = torch.arange(500) % 7
    for found, expected in zip(
        nearest(queries, mapped, 20, bank_chunk=64),
        nearest(queries, there.float(), 20, bank_chunk=64),
        strict=True,
    ):
        assert torch.equal(found, expected)
    half = knn_scores(queries, mapped, labels, 7, neighbours=20, temperature=0.1)
    full = knn_scores(queries, there.float(), labels, 7, neighbours=20, temperature=0.1)
    assert torch.equal(half, full)
    assert torch.equal(mapped, there)  # a private map: nothing was written into it


def test_neither_bank_nor_queries_are_changed() -> None:
    bank, queries = draw(0, 40, 5), draw(1, 6, 5)
    before = bank.clone(), queries.clone()
    nearest(queries, bank, 3, bank_chunk=7)
    assert torch.equal(bank, before[0]) and torch.equal(queries, before[1])


def test_the_length_of_vectors_does_not_count() -> None:
    bank, queries = draw(0, 80, 5), draw(1, 6, 5)
    scaled = bank * torch.linspace(0.01, 50, 80).view(-1, 1)
    found, expected = nearest(queries * 9, scaled, 10), nearest(queries, bank, 10)
    assert torch.equal(found[1], expected[1])
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-6)


NEIGHBOURS, TEMPERATURES = (30, 1, 5), (0.05, 0.07, 1.0)


def test_a_grid_is_every_pair_on_its_own() -> None:
    bank, queries = draw(0, 90, 6), draw(1, 25, 6)
    labels = torch.randint(4, (90,), generator=torch.Generator().manual_seed(2))
    grid = list(knn_grid(queries, bank, labels, 4, neighbours=NEIGHBOURS, temperatures=TEMPERATURES, chunk=8))
    assert [pair[:2] for pair in grid] == list(itertools.product(NEIGHBOURS, TEMPERATURES))
    rankings = [ranking(query, bank.double()) for query in queries.double()]
    for k, temperature, votes in grid:
        alone = knn_scores(queries, bank, labels, 4, neighbours=k, temperature=temperature, chunk=8)
        torch.testing.assert_close(votes, alone, rtol=1e-6, atol=0)
        for row, ranked in enumerate(rankings):
            by_hand = [0.0] * 4
            for cosine, index in ranked[:k]:
                by_hand[int(labels[index])] += math.exp(cosine / temperature)
            assert votes[row].tolist() == pytest.approx(by_hand, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("bank_chunk", [2, 5, 100])
def test_more_neighbours_than_the_bank_holds_are_refused(bank_chunk: int) -> None:
    bank, queries, labels = draw(0, 5, 3), draw(1, 2, 3), torch.zeros(5, dtype=torch.int64)
    cosine, _ = nearest(queries, bank, 5, bank_chunk=bank_chunk)
    assert cosine.shape == (2, 5)
    with pytest.raises(UserError, match="k=6 neighbours asked for, but the bank holds 5 images"):
        nearest(queries, bank, 6, bank_chunk=bank_chunk)
    with pytest.raises(UserError, match="k=6 neighbours asked for, but the bank holds 5 images"):
        list(knn_grid(queries, bank, labels, 2, neighbours=(2, 6), temperatures=(0.1,)))
