"""Retrieval against a loop over positions, patches and classes."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mmbench.transfer.dense.probes.memory import Memory
from mmbench.transfer.dense.probes.retrieval import retrieved

CLASSES = 3


def drawn_memory(seed: int, patches: int, width: int, number: torch.dtype = torch.float32) -> Memory:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn((patches, width), generator=generator)
    counts = torch.randint(0, 5, (patches, CLASSES), generator=generator).to(torch.int32)
    counts[:, 0] += (counts.sum(dim=1) == 0).to(torch.int32)
    return Memory(torch.nn.functional.normalize(features, dim=1).to(number), counts)


def loop(position: list[float], memory: Memory, neighbours: int, temperature: float) -> list[float]:
    """Return the shares of one position: cosines, the nearest, their softmax, and the weighted labels."""
    found = []
    for index, item in enumerate(memory.features.double().tolist()):
        dot = sum(a * b for a, b in zip(position, item, strict=True))
        norms = math.hypot(*position) * math.hypot(*item)
        found.append((-dot / norms, index))
    nearest = sorted(found)[:neighbours]
    weights = [math.exp(-cosine / temperature) for cosine, _ in nearest]
    shares = [0.0] * CLASSES
    for weight, (_, index) in zip(weights, nearest, strict=True):
        pixels = memory.counts[index].tolist()
        for kind in range(CLASSES):
            shares[kind] += weight / sum(weights) * pixels[kind] / sum(pixels)
    return shares


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    patches=st.integers(1, 30),
    width=st.integers(2, 6),
    height=st.integers(1, 3),
    columns=st.integers(1, 3),
    temperature=st.sampled_from([0.02, 0.1, 1.0]),
    number=st.sampled_from([torch.float32, torch.float16]),
    data=st.data(),
)
def test_equals_a_loop_over_everything_whatever_the_blocks(
    seed: int,
    patches: int,
    width: int,
    height: int,
    columns: int,
    temperature: float,
    number: torch.dtype,
    data: st.DataObject,
) -> None:
    memory = drawn_memory(seed, patches, width, number)
    neighbours = data.draw(st.integers(1, patches))
    maps = torch.randn((2, width, height, columns), generator=torch.Generator().manual_seed(seed + 1))
    whole = retrieved(maps, memory, neighbours, temperature)
    chunk, memory_chunk = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 35))
    blocks = retrieved(maps, memory, neighbours, temperature, chunk=chunk, memory_chunk=memory_chunk)
    assert whole.shape == (2, CLASSES, height, columns)
    for image in range(2):
        for y in range(height):
            for x in range(columns):
                expected = loop(maps[image, :, y, x].double().tolist(), memory, neighbours, temperature)
                for found in (whole, blocks):
                    assert found[image, :, y, x].tolist() == pytest.approx(expected, abs=2e-4)
                    assert sum(found[image, :, y, x].tolist()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("memory_chunk", [2, 5, 100])
def test_of_equally_similar_patches_the_first_is_taken(memory_chunk: int) -> None:
    features = torch.tensor([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    counts = torch.eye(5, dtype=torch.int32)
    maps = torch.tensor([2.0, 0.0]).reshape(1, 2, 1, 1)
    found = retrieved(maps, Memory(features, counts), 2, 0.02, memory_chunk=memory_chunk)
    assert found.flatten().tolist() == pytest.approx([0, 0.5, 0.5, 0, 0])


def exact_memory(seed: int) -> tuple[Tensor, Memory]:
    """Return maps of two images, and a memory of exactly their positions."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn((2, 8, 4, 4), generator=generator)
    features = torch.nn.functional.normalize(maps.permute(0, 2, 3, 1).reshape(-1, 8), dim=1)
    counts = torch.zeros(len(features), CLASSES, dtype=torch.int32)
    kinds = torch.randint(0, CLASSES, (len(features),), generator=generator)
    counts[torch.arange(len(features)), kinds] = 16
    return maps, Memory(features, counts)


@pytest.mark.parametrize("seed", range(3))
def test_training_patches_retrieve_their_own_labels_at_a_temperature_near_zero(seed: int) -> None:
    maps, memory = exact_memory(seed)
    found = retrieved(maps, memory, 5, 0.001)
    own = memory.counts.reshape(2, 4, 4, CLASSES).argmax(dim=-1)
    assert torch.equal(found.argmax(dim=1), own)


def test_a_large_temperature_weights_all_neighbours_alike() -> None:
    maps, memory = exact_memory(0)
    found = retrieved(maps, memory, len(memory.features), 100.0)
    mean = (memory.counts / 16.0).mean(dim=0)
    assert torch.allclose(found, mean.reshape(1, CLASSES, 1, 1).expand_as(found), atol=2e-3)


def test_positions_of_zeros_are_finite() -> None:
    found = retrieved(torch.zeros(1, 8, 2, 2), exact_memory(0)[1], 3, 0.02)
    assert torch.isfinite(found).all()
