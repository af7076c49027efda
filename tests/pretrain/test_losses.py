"""The losses against naive explicit loops in float64."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from mmbench.pretrain.losses import info_nce, negative_energy

TEMPERATURE = 0.2


def embeddings(batch: int, dim: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(batch, dim, generator=generator, dtype=torch.float64))


def naive_nce(query: list[float], key: list[float], queue: list[list[float]]) -> float:
    """-log softmax of the positive among positive and negatives, one query, no vector operation."""

    def similarity(other: list[float]) -> float:
        return sum(a * b for a, b in zip(query, other, strict=True)) / TEMPERATURE

    positive = math.exp(similarity(key))
    return -math.log(positive / (positive + sum(math.exp(similarity(negative)) for negative in queue)))


@pytest.mark.parametrize(("batch", "dim", "length"), [(2, 3, 1), (5, 8, 7), (8, 16, 33)])
def test_moco_loss_equals_explicit_loops(batch: int, dim: int, length: int) -> None:
    query, key, queue = (embeddings(n, dim, seed) for seed, n in enumerate((batch, batch, length)))
    loss = info_nce(query, key, negative_energy(query, queue, TEMPERATURE), TEMPERATURE)
    for row in range(batch):
        expected = naive_nce(query[row].tolist(), key[row].tolist(), queue.tolist())
        assert loss[row].item() == pytest.approx(expected, rel=1e-6)


def test_losses_stay_finite_and_exact_for_extreme_similarities() -> None:
    query = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    energy = negative_energy(query, -query.expand(4, 2), 0.001)
    assert info_nce(query, query, energy, 0.001).item() == pytest.approx(0.0, abs=1e-12)
    assert info_nce(query, -query, negative_energy(query, query, 0.001), 0.001).item() == pytest.approx(2000)


def test_the_similarities_are_float32_under_autocast() -> None:
    query, queue = embeddings(4, 8, 0).float(), embeddings(9, 8, 1).float()
    with torch.autocast("cpu", torch.bfloat16):
        energy = negative_energy(query, queue, TEMPERATURE)
    assert torch.equal(energy, negative_energy(query, queue, TEMPERATURE))
