"""The weighted nearest-neighbour classifier on features, which pretraining monitors and transfer measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmbench.errors import UserError

CHUNK = 512  # queries per comparison
BANK_CHUNK = 16384  # bank items per comparison: 134 MB as float32 at 2048 numbers each
SMALLEST_NORM = 1e-12  # as torch's own normalize: an item of zeros has cosine 0 with everything


def nearest(
    queries: Tensor, bank: Tensor, neighbours: int, *, chunk: int = CHUNK, bank_chunk: int = BANK_CHUNK
) -> tuple[Tensor, Tensor]:
    """Return cosine (Q, k) and index (Q, k) of the k nearest by cosine similarity, nearest first.

    The bank is read once, in chunks, so it may be a half-precision memory map that is larger than the
    memory: besides the result, one chunk of it and its cosines with a chunk of queries are in memory. Of
    items with equal cosines the lower index counts as nearer.

    Args:
        queries: (Q, C); the computation runs on their device.
        bank: (B, C).
        neighbours: k.
        chunk: queries per comparison, to bound the memory.
        bank_chunk: bank items per comparison, likewise.

    Raises:
        UserError: the bank holds fewer than k items.
    """
    if neighbours > len(bank):
        raise UserError(f"k={neighbours} neighbours asked for, but the bank holds {len(bank)} images")
    parts = torch.split(queries, chunk)
    best: list[tuple[Tensor, Tensor]] = []
    start = 0
    for items in torch.split(bank, bank_chunk):
        compared = items.to(queries.device).float()
        # Dividing the cosines by the norms avoids a second copy of the items.
        norms = torch.linalg.vector_norm(compared, dim=1).clamp_min_(SMALLEST_NORM)
        found = (_top(part, compared, norms, start, neighbours) for part in parts)
        if start == 0:
            best = list(found)
        else:
            best = [_merge(old, new, neighbours) for old, new in zip(best, found, strict=True)]
        start += len(items)
    return torch.cat([cosine for cosine, _ in best]), torch.cat([index for _, index in best])


def _top(part: Tensor, compared: Tensor, norms: Tensor, start: int, neighbours: int) -> tuple[Tensor, Tensor]:
    """Return cosine and index of the k items nearest to each query, of all where they are fewer.

    Args:
        part: (q, C), not normalised.
        compared: (b, C) float32, not normalised.
        norms: (b,), of `compared`.
        start: index of the first item in the bank.
    """
    cosine = (normalize(part.float(), dim=1) @ compared.T).div_(norms)
    # topk does not specify which of equal cosines it takes, nor their order. One more than requested shows
    # where the last place is tied; only those rows are sorted as a whole.
    kept, index = cosine.topk(min(neighbours + 1, len(compared)), dim=1)
    if kept.shape[1] > neighbours:
        tied = kept[:, -1] == kept[:, -2]
        if tied.any():
            index[tied] = cosine[tied].sort(dim=1, descending=True, stable=True).indices[:, : neighbours + 1]
        index = index[:, :neighbours]
    index = index.sort(dim=1).values
    kept, order = cosine.gather(1, index).sort(dim=1, descending=True, stable=True)
    return kept, index.gather(1, order) + start


def _merge(
    first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], neighbours: int
) -> tuple[Tensor, Tensor]:
    """Return the k nearest of two lists of neighbours; the indices of the first are the lower ones."""
    cosine, index = torch.cat((first[0], second[0]), dim=1), torch.cat((first[1], second[1]), dim=1)
    kept, order = cosine.sort(dim=1, descending=True, stable=True)
    return kept[:, :neighbours], index.gather(1, order[:, :neighbours])


def vote(cosine: Tensor, labels: Tensor, classes: int, temperature: float) -> Tensor:
    """Return the votes (Q, classes): every neighbour votes for its class with weight exp(cosine / T).

    Source: Wu et al. 2018 (instance discrimination), section 3.4.

    Args:
        cosine: (Q, k), of the neighbours that vote.
        labels: int64, (Q, k), of these neighbours.
        classes: number of classes.
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
