"""The weighted nearest-neighbour classifier on features, which pretraining watches and transfer measures."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from mmbench.errors import UserError


def knn_scores(
    queries: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    classes: int,
    *,
    neighbours: int,
    temperature: float,
    chunk: int = 512,
) -> Tensor:
    """Return the votes (Q, classes) for queries (Q, C) against a bank (B, C) with labels (B,).

    Every one of the k nearest by cosine similarity votes for its class with weight exp(cosine / T).
    Source: Wu et al. 2018 (instance discrimination), section 3.4.

    Args:
        neighbours: k.
        temperature: T.
        chunk: queries that are compared with the bank at a time, to bound the memory.

    Raises:
        UserError: the bank holds fewer than k items.
    """
    if neighbours > len(bank):
        raise UserError(f"k={neighbours} neighbours asked for, but the bank holds {len(bank)} images")
    bank = normalize(bank, dim=1)
    votes = []
    for part in torch.split(normalize(queries, dim=1), chunk):
        cosine, index = (part @ bank.T).topk(neighbours, dim=1)
        weights = (cosine / temperature).exp()
        empty = torch.zeros((len(part), classes), device=queries.device)
        votes.append(empty.scatter_add_(1, bank_labels[index], weights))
    return torch.cat(votes)
