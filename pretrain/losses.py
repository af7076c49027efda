"""Losses on normalised embeddings, per sample, so that each sample may have its own weight."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import softplus


def negative_energy(query: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Return log sum_j exp(query . queue_j / T), shape (B,): all that InfoNCE needs of the negatives.

    Args:
        query: (B, D), unit length.
        queue: (K, D), unit length.
    """
    with torch.autocast(query.device.type, enabled=False):  # similarities need more than bf16's 8 bits
        energy: Tensor = (query @ queue.t()).div_(temperature).logsumexp(1)
    return energy


def info_nce(query: Tensor, key: Tensor, energy: Tensor, temperature: float) -> Tensor:
    """Return InfoNCE per sample, shape (B,): -log(e^p / (e^p + e^energy)) with p = query . key / T.

    Source: van den Oord et al. 2018; MoCo (He et al. 2020), equation 1.

    Args:
        query, key: (B, D), unit length.
        energy: (B,), the negatives of each query (`negative_energy`).
    """
    positive = (query * key).sum(1) / temperature
    return softplus(energy - positive)


def nt_xent(query: Tensor, key: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return NT-Xent's denominators in logarithm, of the queries and of the keys: two times (B,).

    Every one of the 2 B embeddings is compared with the 2 B - 1 others; which of them is the positive does
    not matter here. Source: SimCLR (Chen et al. 2020), equation 1.

    Args:
        query, key: (B, D), unit length.
    """
    everyone = torch.cat([query, key])
    with torch.autocast(query.device.type, enabled=False):
        similarity = (everyone @ everyone.t()) / temperature
    similarity = similarity.masked_fill(
        torch.eye(len(everyone), dtype=torch.bool, device=query.device), -torch.inf
    )
    of_queries, of_keys = similarity.logsumexp(1).chunk(2)
    return of_queries, of_keys


def negative_cosine(prediction: Tensor, target: Tensor) -> Tensor:
    """Return minus the cosine of prediction and target, both (B, D) of unit length: (B,).

    Source: SimSiam (Chen & He 2021), equation 1; BYOL's squared distance is 2 + 2 times it.
    """
    return -(prediction * target).sum(1)
