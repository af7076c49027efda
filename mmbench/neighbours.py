"""The weighted nearest-neighbour classifier on features, which pretraining watches and transfer measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmbench.errors import UserError

CHUNK = 512  # queries that are compared at a time
BANK_CHUNK = 65536  # bank items that are compared at a time: 0.5 GB as float32 at 2048 numbers each


def nearest(
    queries: Tensor, bank: Tensor, neighbours: int, *, chunk: int = CHUNK, bank_chunk: int = BANK_CHUNK
) -> tuple[Tensor, Tensor]:
    """Return cosine (Q, k) and index (Q, k) of the k nearest by cosine similarity, nearest first.

    The bank is read in chunks, so it may be a memory map that is larger than the memory, in half precision.

    Args:
        queries: (Q, C).
        bank: (B, C).

    Raises:
        UserError: the bank holds fewer than k items.
    """
    if neighbours > len(bank):
        raise UserError(f"k={neighbours} neighbours asked for, but the bank holds {len(bank)} images")
    best: list[tuple[Tensor, Tensor]] = []
    start = 0
    for items in torch.split(bank, bank_chunk):
        compared = normalize(items.to(queries.device).float(), dim=1)
        found = [_top(part, compared, start, neighbours) for part in _parts(queries, chunk)]
        pair = torch.cat([cosine for cosine, _ in found]), torch.cat([index for _, index in found])
        best = [pair] if not best else [_merge(best[0], pair, neighbours)]
        start += len(items)
    return best[0]


def _parts(queries: Tensor, chunk: int) -> Iterator[Tensor]:
    for part in torch.split(queries, chunk):
        yield normalize(part.float(), dim=1)


def _top(part: Tensor, compared: Tensor, start: int, neighbours: int) -> tuple[Tensor, Tensor]:
    cosine, index = (part @ compared.T).topk(min(neighbours, len(compared)), dim=1)
    return cosine, index + start


def _merge(
    first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], neighbours: int
) -> tuple[Tensor, Tensor]:
    """Return the k nearest of two lists of neighbours."""
    cosine, index = torch.cat((first[0], second[0]), dim=1), torch.cat((first[1], second[1]), dim=1)
    kept, order = cosine.topk(min(neighbours, cosine.shape[1]), dim=1)
    return kept, index.gather(1, order)


def vote(cosine: Tensor, labels: Tensor, classes: int, temperature: float) -> Tensor:
    """Return the votes (Q, classes): every neighbour votes for its class with weight exp(cosine / T).

    Source: Wu et al. 2018 (instance discrimination), section 3.4.

    Args:
        cosine: (Q, k), of the neighbours that vote.
        labels: int64, (Q, k), theirs.
        temperature: T.
    """
    empty = torch.zeros((len(cosine), classes), device=cosine.device)
    return empty.scatter_add_(1, labels, (cosine / temperature).exp())


def knn_scores(
    queries: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    classes: int,
    *,
    neighbours: int,
    temperature: float,
    chunk: int = CHUNK,
) -> Tensor:
    """Return the votes (Q, classes) for queries (Q, C) against a bank (B, C) with labels (B,).

    Args:
        neighbours: k.
        temperature: T.
        chunk: queries that are compared with the bank at a time, to bound the memory.

    Raises:
        UserError: the bank holds fewer than k items.
    """
    cosine, index = nearest(queries, bank, neighbours, chunk=chunk)
    return vote(cosine, bank_labels.to(index.device)[index], classes, temperature)


def knn_grid(
    queries: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    classes: int,
    *,
    neighbours: Sequence[int],
    temperatures: Sequence[float],
    chunk: int = CHUNK,
) -> Iterator[tuple[int, float, Tensor]]:
    """Yield (k, T, votes) for every pair, from one pass over the bank.

    Raises:
        UserError: the bank holds fewer than the largest k items.
    """
    cosine, index = nearest(queries, bank, max(neighbours), chunk=chunk)
    labels = bank_labels.to(index.device)[index]
    for count in neighbours:
        for temperature in temperatures:
            yield count, temperature, vote(cosine[:, :count], labels[:, :count], classes, temperature)
