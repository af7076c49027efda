"""Labels of patches from their nearest neighbours in a memory."""

from __future__ import annotations

import torch
from torch import Tensor

from mmbench.neighbours import BANK_CHUNK, CHUNK, nearest
from mmbench.transfer.dense.probes.memory import Memory


def retrieved(
    maps: Tensor,
    memory: Memory,
    neighbours: int,
    temperature: float,
    *,
    chunk: int = CHUNK,
    memory_chunk: int = BANK_CHUNK,
) -> Tensor:
    """Return the share of each class (N, classes, h, w) that a memory says for every position of maps.

    A position takes the shares of its nearest patches by cosine similarity, weighted by the softmax of
    similarity / T. Of patches that are equally similar the first of the memory counts as nearer.

    Source: Balazevic et al. 2023, section 3; the cross-attention of vpariza/open-hummingbird-eval@5e79da2.

    Args:
        maps: (N, C, h, w); the computation runs on their device.
        neighbours: how many patches count.
        temperature: T.
        chunk: positions that are compared with the memory at a time, to bound what is computed at once.
        memory_chunk: patches of the memory that they are compared with at a time, likewise.
    """
    images, channels, height, width = maps.shape
    queries = maps.permute(0, 2, 3, 1).reshape(-1, channels)
    cosine, index = nearest(queries, memory.features, neighbours, chunk=chunk, bank_chunk=memory_chunk)
    weights = torch.softmax(cosine / temperature, dim=1)
    shares = weights.new_zeros(len(queries), memory.counts.shape[1])
    for rank in range(neighbours):  # (positions, neighbours, classes) at once would take gigabytes
        shares += weights[:, rank, None] * memory.shares(index[:, rank]).to(weights.device)
    return shares.reshape(images, height, width, -1).permute(0, 3, 1, 2)
